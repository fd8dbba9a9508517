/* utf8.c - well-formed byte sequences are those of table 3-7 of the Unicode standard. */
#include "runtime/utf8.h"

#include <string.h>

/* What may follow a lead byte: length of the character, range of the second byte. */
typedef struct lead {
    uint8_t need, lo, hi; /* need 0: no character starts with this byte */
} lead;

static lead lead_of(uint8_t b) {
    if (b < 0xc2) return (lead){0, 0, 0};
    if (b < 0xe0) return (lead){2, 0x80, 0xbf};
    if (b < 0xf0) return (lead){3, b == 0xe0 ? 0xa0 : 0x80, b == 0xed ? 0x9f : 0xbf};
    if (b < 0xf5) return (lead){4, b == 0xf0 ? 0x90 : 0x80, b == 0xf4 ? 0x8f : 0xbf};
    return (lead){0, 0, 0};
}

size_t rt_utf8_next(const uint8_t *p, size_t n, uint32_t *cp) {
    if (p[0] < 0x80) {
        *cp = p[0];
        return 1;
    }
    lead l = lead_of(p[0]);
    *cp = RT_UTF8_BAD;
    if (!l.need) return 1;
    uint32_t value = p[0] & (0xffu >> (l.need + 1));
    for (size_t i = 1; i < l.need; i++) {
        if (i >= n || p[i] < l.lo || p[i] > l.hi) return i;
        value = value << 6 | (p[i] & 0x3f);
        l.lo = 0x80;
        l.hi = 0xbf;
    }
    *cp = value;
    return l.need;
}

static const char REPLACEMENT[3] = "\xef\xbf\xbd";

size_t rt_utf8_push(rt_utf8 *u, uint8_t byte, char *out) {
    size_t n = 0;
    if (u->n) {
        if (byte >= u->lo && byte <= u->hi) {
            u->held[u->n++] = byte;
            u->lo = 0x80;
            u->hi = 0xbf;
            if (u->n < u->need) return 0;
            memcpy(out, u->held, u->need);
            u->n = 0;
            return u->need;
        }
        memcpy(out, REPLACEMENT, sizeof REPLACEMENT);
        n = sizeof REPLACEMENT;
        u->n = 0;
    }
    if (byte < 0x80) {
        out[n] = (char)byte;
        return n + 1;
    }
    const lead l = lead_of(byte);
    if (l.need) {
        *u = (rt_utf8){.held = {byte}, .n = 1, .need = l.need, .lo = l.lo, .hi = l.hi};
        return n;
    }
    memcpy(out + n, REPLACEMENT, sizeof REPLACEMENT);
    return n + sizeof REPLACEMENT;
}

size_t rt_utf8_end(rt_utf8 *u, char *out) {
    const size_t n = u->n ? sizeof REPLACEMENT : 0;
    memcpy(out, REPLACEMENT, n);
    u->n = 0;
    return n;
}
