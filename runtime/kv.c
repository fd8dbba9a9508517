/* kv.c - KV blocks: mapped one by one, counted, kept for the next user. */
#include "runtime/kv.h"

#include <pthread.h>

#include "runtime/fail.h"
#include "runtime/pages.h"

struct rt_kv {
    rt_alloc mem;
    uint64_t block_bytes;
    pthread_mutex_t lock; /* guards all below */
    rt_kv_block *all, *free;
    rt_kv_counts count;
};

p4c_status rt_kv_open(const rt_alloc *mem, uint64_t block_bytes, uint64_t limit, rt_kv **out,
                      p4c_error *error) {
    rt_kv *const kv = rt_get(mem, 1, sizeof *kv);
    if (!kv) return rt_fail_memory(error, "the KV pool");
    *kv = (rt_kv){.mem = *mem, .block_bytes = block_bytes, .count = {.limit = limit}};
    if (pthread_mutex_init(&kv->lock, NULL) != 0) {
        rt_release(mem, kv);
        return rt_fail(error, P4C_ERR_SYSTEM, "cannot make a lock");
    }
    *out = kv;
    return P4C_OK;
}

void rt_kv_close(rt_kv *kv) {
    if (!kv) return;
    const rt_alloc mem = kv->mem;
    for (rt_kv_block *b = kv->all, *next; b; b = next) {
        next = b->next;
        rt_pages_put(b->data, kv->block_bytes);
        rt_release(&mem, b);
    }
    pthread_mutex_destroy(&kv->lock);
    rt_release(&mem, kv);
}

rt_kv_counts rt_kv_count(rt_kv *kv) {
    pthread_mutex_lock(&kv->lock);
    const rt_kv_counts c = kv->count;
    pthread_mutex_unlock(&kv->lock);
    return c;
}

static rt_kv_block *new_block(rt_kv *kv) {
    rt_kv_block *const b = rt_get(&kv->mem, 1, sizeof *b);
    if (!b) return NULL;
    uint8_t *const data = rt_pages_get(kv->block_bytes);
    if (!data) {
        rt_release(&kv->mem, b);
        return NULL;
    }
    *b = (rt_kv_block){.data = data, .next = kv->all};
    kv->all = b;
    return b;
}

/* With the lock held. */
static void drop(rt_kv *kv, rt_kv_block *const *block, uint64_t n) {
    for (uint64_t i = 0; i < n; i++) {
        rt_kv_block *const b = block[i];
        if (--b->refs) continue;
        /* private anonymous memory reads as zero after this */
        if (madvise(b->data, kv->block_bytes, MADV_DONTNEED) != 0)
            memset(b->data, 0, kv->block_bytes); /* locked in memory */
        b->next_free = kv->free;
        kv->free = b;
        kv->count.used--;
    }
}

p4c_status rt_kv_take(rt_kv *kv, uint64_t n, rt_kv_block **out, p4c_error *error) {
    p4c_status s = P4C_OK;
    pthread_mutex_lock(&kv->lock);
    const uint64_t left = kv->count.limit - kv->count.used;
    uint64_t got = 0;
    if (n > left)
        s = rt_fail_numbers(error, P4C_ERR_KV_FULL, (int64_t)n, (int64_t)left,
                            "%llu KV blocks are wanted and %llu of %llu are left",
                            (unsigned long long)n, (unsigned long long)left,
                            (unsigned long long)kv->count.limit);
    while (s == P4C_OK && got < n) {
        rt_kv_block *b = kv->free;
        if (b) kv->free = b->next_free;
        else b = new_block(kv);
        if (!b) {
            s = rt_fail_memory(error, "a KV block");
            break;
        }
        b->refs = 1;
        kv->count.used++;
        out[got++] = b;
    }
    if (s != P4C_OK) drop(kv, out, got);
    if (kv->count.used > kv->count.peak) kv->count.peak = kv->count.used;
    pthread_mutex_unlock(&kv->lock);
    return s;
}

void rt_kv_share(rt_kv *kv, rt_kv_block *const *block, uint64_t n) {
    pthread_mutex_lock(&kv->lock);
    for (uint64_t i = 0; i < n; i++) block[i]->refs++;
    pthread_mutex_unlock(&kv->lock);
}

void rt_kv_drop(rt_kv *kv, rt_kv_block *const *block, uint64_t n) {
    pthread_mutex_lock(&kv->lock);
    drop(kv, block, n);
    pthread_mutex_unlock(&kv->lock);
}

int rt_kv_is_shared(rt_kv *kv, const rt_kv_block *block) {
    pthread_mutex_lock(&kv->lock);
    const int shared = block->refs > 1;
    pthread_mutex_unlock(&kv->lock);
    return shared;
}
