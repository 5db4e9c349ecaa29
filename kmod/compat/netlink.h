/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_COMPAT_NETLINK_H
#define KCKPT_COMPAT_NETLINK_H

#include <net/genetlink.h>

/*
 * KCKPT_GROUP_ADMIN - flag of a multicast group that only CAP_SYS_ADMIN may join. Since e03781879a0d ("drop_monitor:
 * Require 'CAP_SYS_ADMIN' when joining "events" group") (v6.7, and later releases of v6.1). A kernel that cannot
 * keep others out gets no events.
 */
#ifdef GENL_MCAST_CAP_SYS_ADMIN
#define KCKPT_CAN_GUARD_GROUP true
#define KCKPT_GROUP_ADMIN GENL_MCAST_CAP_SYS_ADMIN
#else
#define KCKPT_CAN_GUARD_GROUP false
#define KCKPT_GROUP_ADMIN 0
#endif

#endif
