/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The objects of a session.
 *
 * Dump: kernel pointer -> object, so that what is shared is saved once. The object holds the reference that the
 * interning caller gave it, and counts how often it was met inside the job (the closure check).
 * Restore: object id -> records from the image, and what was made of them.
 */
#ifndef KCKPT_OBJTAB_H
#define KCKPT_OBJTAB_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rhashtable.h>
#include <linux/xarray.h>
#include <kckpt/image.h>

#include "blocks.h"
#include "report.h"

struct kckpt_rec {
	struct list_head node;
	struct kckpt_record head;
	u8 data[];			/* of 8-byte alignment, as the head */
};

/* How a frozen task was when it was met; see kckpt_stillness_note(). */
struct kckpt_stillness {
	u64 switches;			/* of its context */
	u64 signals;			/* a print of what is pending for it and its process */
	u32 nr_timer_signals;		/* pending besides, from timers of the process */
};

enum kckpt_object_state { KCKPT_OBJ_RAW, KCKPT_OBJ_MAKING, KCKPT_OBJ_MADE, KCKPT_OBJ_FAILED };

struct kckpt_object {
	u64 id;
	u32 family;
	u32 seen;			/* dump: references met inside the job; restore: kckpt_files_mark(), load.c */
	struct kckpt_where where;	/* where it was met first */
	struct list_head node;		/* kckpt_objtab.list, in order of id */

	/* dump */
	const void *ptr;
	struct kckpt_stillness still;	/* of a task, */
	int __user *clear_child_tid;	/* and what was taken from it so that it ends quietly */
	struct file *file;		/* of what files are open on: the first of them, held by its own object */
	struct rhash_head hash;
	struct kckpt_shadow *shadow;	/* its pages as they were; NULL: they are read where they are */
	const struct kckpt_snapshot_mm *parent;	/* an address space, as the parent image has it; NULL: has not */
	struct kckpt_block_list unchanged;	/* of it: as it has it, and not to be looked at */

	/* restore */
	struct list_head records;
	const void *fields;		/* of its main record; see kckpt_rec_keep() */
	enum kckpt_object_state state;	/* set under kckpt_objtab.make_lock, or by the only one who makes it */
	void *made;			/* what restore created; dropped by the family's release() */
	void *made2;			/* the second one, where objects come in pairs */
	u64 value;			/* for the family's own use */
	struct kckpt_object *process;	/* restore: of a task, once that is planned; see kckpt_process_of() */
	struct kckpt_object *creator;	/* who makes it; see kckpt_process_plan() */
	struct kckpt_object *first, *next;	/* what it creates, and the next of those with the same creator */
	struct kckpt_object *rest;	/* the first of these that nobody creates yet; under the crew's lock */
};

/* Of what objects references are held. */
enum kckpt_objtab_held { KCKPT_HELD_NONE, KCKPT_HELD_PROCESSES, KCKPT_HELD_ALL };

struct kckpt_objtab {
	struct rhashtable by_ptr;
	struct xarray by_id;
	struct list_head list;
	u64 nr;
	struct mutex make_lock;		/* restored tasks make shared objects one at a time; outside of everything */
	size_t bytes;			/* restore: of the objects */
	bool ready;
	enum kckpt_objtab_held held;
};

/* kckpt_is_made() - is it complete, and what was made of it to be seen? */
static inline bool kckpt_is_made(const struct kckpt_object *obj)
{
	return smp_load_acquire(&obj->state) == KCKPT_OBJ_MADE;	/* pairs with kckpt_crew_made() */
}

int kckpt_objtab_init(struct kckpt_objtab *tab);

/* Restore: drops what is held of the objects made. The restored tasks have them now. */
void kckpt_objtab_release_made(struct kckpt_objtab *tab);

/*
 * Dump: drops what is held of the job, down to @held. Of one that runs on, everything: an end of a pipe that we still
 * held would keep others from seeing its end. Of one that dies, all but the processes to wait for: its tasks give back
 * what they are the last to hold, on all CPUs. What was found out about the objects stays; none can be found or added
 * any more.
 */
void kckpt_objtab_let_go(struct kckpt_objtab *tab, enum kckpt_objtab_held held);

/* Drops every object with its references. No task may use the table any more. */
void kckpt_objtab_free(struct kckpt_objtab *tab);

struct kckpt_object *kckpt_objtab_find(struct kckpt_objtab *tab, u32 family, const void *ptr);

/* kckpt_objtab_add() - a new object for @ptr (dump) or NULL (restore), with the next id, or -ENOMEM. */
struct kckpt_object *kckpt_objtab_add(struct kckpt_objtab *tab, u32 family, const void *ptr);

static inline struct kckpt_object *kckpt_objtab_get(struct kckpt_objtab *tab, u64 id)
{
	return xa_load(&tab->by_id, id);
}

#define kckpt_for_each_object(tab, obj) list_for_each_entry(obj, &(tab)->list, node)

#endif
