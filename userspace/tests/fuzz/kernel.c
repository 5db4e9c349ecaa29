// SPDX-License-Identifier: GPL-2.0
/*
 * Stands in for the kernel when the module's sources are built as a program: what reading and checking an image uses of
 * it. Built with the kernel's own headers, as the module is; what lies behind them is the C library.
 *
 * There is one task, the caller, who may do everything, and one path, a directory, which all names lead to. What is not
 * here is linked to address 0: a check that needs more of the kernel crashes there, and says so.
 */
#include <linux/cgroup.h>
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/lsm_hooks.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/netlink.h>
#include <linux/nsproxy.h>
#include <linux/pid_namespace.h>
#include <linux/sched/signal.h>
#include <linux/uio.h>
#include <linux/user_namespace.h>
#include <linux/utsname.h>
#include <net/net_namespace.h>

#include "kernel.h"
#include "ksym.h"

/* Of the C library, whose headers do not go with the kernel's. */
void *calloc(size_t nr, size_t size);
void *realloc(void *old, size_t size);
void free(void *old);
void abort(void);
int dprintf(int fd, const char *fmt, ...);
int vasprintf(char **text, const char *fmt, va_list args);

/* ---- who is there ---- */

struct user_namespace init_user_ns;
struct pid_namespace init_pid_ns;
struct uts_namespace init_uts_ns;
struct net init_net;
struct task_struct init_task;
static struct nsproxy the_nsproxy = { .net_ns = &init_net };
static struct signal_struct the_signal;
static struct fs_struct the_fs;
static struct group_info the_groups;
static struct cred the_cred = { .user_ns = &init_user_ns, .group_info = &the_groups };
static struct super_block the_sb = { .s_maxbytes = MAX_LFS_FILESIZE };
static struct inode the_inode = { .i_mode = S_IFDIR | 0755, .i_sb = &the_sb };
static struct dentry the_dentry = { .d_inode = &the_inode, .d_sb = &the_sb };
static struct vfsmount the_mount = { .mnt_root = &the_dentry, .mnt_sb = &the_sb };

/* %gs is 0 in a program: what is per CPU is found at its own address. */
struct task_struct *current_task = &init_task;
int __preempt_count = PREEMPT_NEED_RESCHED;	/* set: nobody is waiting */
struct cpuinfo_x86 boot_cpu_data;
struct cpumask __cpu_online_mask = { { 3 } }, __cpu_possible_mask = { { 3 } };
unsigned int nr_cpu_ids = 2;
unsigned long volatile jiffies = 1000;
struct workqueue_struct *system_wq;
struct module __this_module;
bool kckpt_untested;

void kernel_begin(void)
{
	atomic_long_set(&the_cred.usage, 1 << 30);
	the_cred.cap_permitted = the_cred.cap_bset = CAP_FULL_SET;
	init_task.cred = init_task.real_cred = &the_cred;
	init_task.nsproxy = &the_nsproxy;
	init_task.signal = &the_signal;
	init_task.fs = &the_fs;
	the_fs.root = (struct path){ &the_mount, &the_dentry };
}

struct pid_namespace *task_active_pid_ns(struct task_struct *task) { return &init_pid_ns; }
bool capable(int cap) { return true; }
bool ns_capable(struct user_namespace *ns, int cap) { return true; }
kuid_t make_kuid(struct user_namespace *ns, uid_t uid) { return KUIDT_INIT(uid); }
kgid_t make_kgid(struct user_namespace *ns, gid_t gid) { return KGIDT_INIT(gid); }
uid_t from_kuid(struct user_namespace *ns, kuid_t uid) { return __kuid_val(uid); }
gid_t from_kgid(struct user_namespace *ns, kgid_t gid) { return __kgid_val(gid); }
uid_t from_kuid_munged(struct user_namespace *ns, kuid_t uid) { return __kuid_val(uid); }
gid_t from_kgid_munged(struct user_namespace *ns, kgid_t gid) { return __kgid_val(gid); }
struct pid *find_vpid(int nr) { return NULL; }
struct pid *find_pid_ns(int nr, struct pid_namespace *ns) { return NULL; }
int netlink_has_listeners(struct sock *sock, unsigned int group) { return 0; }
void put_pid_ns(struct pid_namespace *ns) { }
void put_pid(struct pid *pid) { }
void mmput(struct mm_struct *mm) { }
void __put_cred(struct cred *cred) { abort(); }
void __module_get(struct module *module) { }
void module_put(struct module *module) { }

/* ---- names ---- */

int kern_path(const char *name, unsigned int flags, struct path *path)
{
	if (name[0] != '/')
		abort();
	*path = (struct path){ &the_mount, &the_dentry };
	return 0;
}

int vfs_getattr(const struct path *path, struct kstat *stat, u32 mask, unsigned int flags)
{
	*stat = (struct kstat){ .mode = the_inode.i_mode };
	return 0;
}

void path_get(const struct path *path) { }
void path_put(const struct path *path) { }
int mnt_want_write(struct vfsmount *mnt) { return 0; }
void mnt_drop_write(struct vfsmount *mnt) { }

/* ---- memory ---- */

struct kmem_cache *kmalloc_caches[NR_KMALLOC_TYPES][KMALLOC_SHIFT_HIGH + 1];
void *kvmalloc_node(size_t size, gfp_t flags, int node) { return calloc(1, size ?: 1); }
void *kmalloc_trace(struct kmem_cache *cache, gfp_t flags, size_t size) { return calloc(1, size ?: 1); }
void kvfree(const void *old) { free((void *)old); }
void kfree(const void *old) { free((void *)old); }

char *kmemdup_nul(const char *text, size_t len, gfp_t flags)
{
	char *copy = calloc(1, len + 1);

	return copy ? memcpy(copy, text, len) : NULL;
}

char *kvasprintf(gfp_t flags, const char *fmt, va_list args)
{
	char *text;

	return vasprintf(&text, fmt, args) < 0 ? NULL : text;
}

/* All pages that there are: more than a stream holds, and those that are being filled. */
#define NR_PAGES 4096
static struct page page_structs[NR_PAGES];
static u8 page_bytes[NR_PAGES * PAGE_SIZE] __aligned(PAGE_SIZE);
unsigned long vmemmap_base = (unsigned long)page_structs;
unsigned long page_offset_base = (unsigned long)page_bytes;

static struct page *unused_pages[NR_PAGES];
static u32 nr_unused, nr_used;	/* of those that came back; and of those never given out before */

struct page *alloc_pages(gfp_t gfp, unsigned int order)
{
	struct page *page = nr_unused ? unused_pages[--nr_unused] : nr_used < NR_PAGES ? &page_structs[nr_used++] : NULL;

	if (page) {
		atomic_set(&page->_refcount, 1);
		memset(page_address(page), 0, PAGE_SIZE);
	}
	return page;
}

void __folio_put(struct folio *folio)
{
	unused_pages[nr_unused++] = &folio->page;
}

int kernel_pin(u32 nr, struct page **pages)
{
	u32 i;

	for (i = 0; i < nr; i++) {
		pages[i] = alloc_pages(GFP_KERNEL, 0);
		if (!pages[i])
			panic("pages are not given back");
	}
	return nr;
}

/* Workers do it at once. */
bool queue_work_on(int cpu, struct workqueue_struct *queue, struct work_struct *work)
{
	work->func(work);
	return true;
}

bool flush_work(struct work_struct *work) { return true; }

int set_page_dirty_lock(struct page *page) { return 0; }

/* Called from inline assembly, which knows what it changes. */
asm(".globl clear_page_orig\nclear_page_orig: mov $512, %ecx\nxor %eax, %eax\nrep stosq\nret");

void *memchr_inv(const void *start, int c, size_t bytes)
{
	const u8 *at = start;

	for (; bytes; bytes--, at++)
		if (*at != (u8)c)
			return (void *)at;
	return NULL;
}

size_t _copy_from_iter(void *to, size_t bytes, struct iov_iter *from)
{
	bytes = min(bytes, from->count);
	memcpy(to, from->kvec->iov_base + from->iov_offset, bytes);
	from->iov_offset += bytes;
	from->count -= bytes;
	return bytes;
}

void panic(const char *fmt, ...)
{
	dprintf(2, "panic: %s\n", fmt);
	abort();
}

void __check_object_size(const void *at, unsigned long len, bool to_user) { }
void __copy_overflow(int size, unsigned long count) { abort(); }
void fortify_panic(const char *name) { abort(); }
void __warn_printk(const char *fmt, ...) { }
int _printk(const char *fmt, ...) { return 0; }
ssize_t strscpy(char *to, const char *from, size_t room)
{
	size_t len = strnlen(from, room);

	if (!room)
		return -E2BIG;
	memcpy(to, from, min(len, room - 1));
	to[min(len, room - 1)] = 0;
	return len < room ? len : -E2BIG;
}

/* ---- lists, ids ---- */

bool __list_add_valid(struct list_head *new, struct list_head *prev, struct list_head *next)
{
	return next->prev == prev && prev->next == next && new != prev && new != next ? true : (abort(), false);
}

bool __list_del_entry_valid(struct list_head *entry)
{
	return entry->prev->next == entry && entry->next->prev == entry ? true : (abort(), false);
}

/* Ids are counted from 1 on. */
struct ids {
	unsigned long nr;
	void *at[];
};

void *xa_load(struct xarray *xa, unsigned long id)
{
	const struct ids *ids = xa->xa_head;

	return ids && id < ids->nr ? ids->at[id] : NULL;
}

void *xa_store(struct xarray *xa, unsigned long id, void *entry, gfp_t flags)
{
	struct ids *ids = xa->xa_head;

	if (!ids || id >= ids->nr) {
		ids = realloc(ids, sizeof(*ids) + 2 * (id + 8) * sizeof(void *));
		if (!ids)
			return XA_ERROR(-ENOMEM);
		if (!xa->xa_head)
			ids->nr = 0;
		memset(ids->at + ids->nr, 0, (2 * (id + 8) - ids->nr) * sizeof(void *));
		ids->nr = 2 * (id + 8);
		xa->xa_head = ids;
	}
	ids->at[id] = entry;
	return NULL;
}

void xa_destroy(struct xarray *xa)
{
	free(xa->xa_head);
	xa->xa_head = NULL;
}

/* By pointer nothing is found before something is made. */
int rhashtable_init(struct rhashtable *table, const struct rhashtable_params *params) { return 0; }
void rhashtable_destroy(struct rhashtable *table) { }

bool __bitmap_subset(const unsigned long *a, const unsigned long *b, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (test_bit(i, a) && !test_bit(i, b))
			return false;
	return true;
}

asm(".globl __sw_hweight32\n__sw_hweight32: popcnt %edi, %eax\nret");

/* ---- there is nobody to wait for ---- */

asm(".globl __SCT__cond_resched, __SCT__might_resched, __SCT__preempt_schedule\n"
    "__SCT__cond_resched: __SCT__might_resched: __SCT__preempt_schedule: xor %eax, %eax\nret");

void __init_waitqueue_head(struct wait_queue_head *head, const char *name, struct lock_class_key *key) { }
void __init_swait_queue_head(struct swait_queue_head *head, const char *name, struct lock_class_key *key) { }
int __wake_up(struct wait_queue_head *head, unsigned int mode, int nr, void *key) { return 0; }
void __mutex_init(struct mutex *lock, const char *name, struct lock_class_key *key) { }
void mutex_lock(struct mutex *lock) { }
void mutex_unlock(struct mutex *lock) { }
void _raw_spin_lock(raw_spinlock_t *lock) { }
void _raw_spin_unlock(raw_spinlock_t *lock) { }
void __rcu_read_lock(void) { }
void __rcu_read_unlock(void) { }
void init_timer_key(struct timer_list *timer, void (*call)(struct timer_list *timer), unsigned int flags,
		    const char *name, struct lock_class_key *key) { }
void delayed_work_timer_fn(struct timer_list *timer) { }
bool queue_delayed_work_on(int cpu, struct workqueue_struct *wq, struct delayed_work *work, unsigned long delay)
{
	return true;
}
bool cancel_delayed_work_sync(struct delayed_work *work) { return true; }
unsigned long __msecs_to_jiffies(const unsigned int ms) { return ms; }
unsigned int jiffies_to_usecs(const unsigned long j) { return j; }
void usleep_range_state(unsigned long min, unsigned long max, unsigned int state) { }
ktime_t ktime_get(void) { return 1; }
ktime_t ktime_get_with_offset(enum tk_offsets offset) { return 1; }

/* ---- what is not exported ---- */

static struct fpu_state_config the_fpu = { .max_size = 2696, .max_features = 0x2ff };
static struct lsm_blob_sizes no_blobs;
static bool no_landlock;
static const struct vdso_image no_vdso = { .size = 0 };
static unsigned int the_nr_open = 1 << 20;
unsigned long ksym_addr_fpu_user_cfg = (unsigned long)&the_fpu;
unsigned long ksym_addr_landlock_blob_sizes = (unsigned long)&no_blobs;
unsigned long ksym_addr_landlock_initialized = (unsigned long)&no_landlock;
unsigned long ksym_addr_vdso_image_64 = (unsigned long)&no_vdso;
unsigned long ksym_addr_sysctl_nr_open = (unsigned long)&the_nr_open;

const char *kckpt_ksym_missing(u32 family) { return NULL; }

asm(".globl __SCT__ksym_find_get_task_by_vpid, __SCT__ksym_ioprio_check_cap\n"
    "__SCT__ksym_find_get_task_by_vpid: __SCT__ksym_ioprio_check_cap: xor %eax, %eax\nret");
