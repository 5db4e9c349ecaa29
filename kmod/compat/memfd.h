/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_COMPAT_MEMFD_H
#define KCKPT_COMPAT_MEMFD_H

#include <linux/fcntl.h>

/* F_SEAL_EXEC: since 6fd7353829ca ("mm/memfd: add F_SEAL_EXEC") (v6.3). */
#ifdef F_SEAL_EXEC
#define KCKPT_SEAL_EXEC F_SEAL_EXEC
#else
#define KCKPT_SEAL_EXEC 0
#endif

#define KCKPT_SEALS_KNOWN (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | \
			   KCKPT_SEAL_EXEC)

#endif
