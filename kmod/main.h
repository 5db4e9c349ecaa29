/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_MAIN_H
#define KCKPT_MAIN_H

extern bool kckpt_untested;	/* loaded with allow_untested on a kernel that the sources do not know, or changed */

#endif
