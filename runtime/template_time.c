/* template_time.c - strftime in the C locale, of a civil time given by the caller.
 * Days to dates: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
#include <string.h>

#include "runtime/template_vm.h"

typedef struct civil {
    int64_t year;
    int month, day, hour, minute, second; /* month 1..12, day 1..31 */
    int week_day, year_day;               /* 0 = Sunday; 0 = January 1st */
} civil;

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

static bool is_leap(int64_t y) { return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0; }

static civil civil_of(int64_t s) {
    static const int BEFORE[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    const int64_t days = floor_div(s, 86400);
    const int rest = (int)(s - days * 86400);
    const int64_t z = days + 719468, era = floor_div(z, 146097);
    const int64_t doe = z - era * 146097;
    const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    civil c = {.year = yoe + era * 400,
               .month = (int)(mp < 10 ? mp + 3 : mp - 9),
               .day = (int)(doy - (153 * mp + 2) / 5 + 1),
               .hour = rest / 3600,
               .minute = rest / 60 % 60,
               .second = rest % 60,
               .week_day = (int)(((days + 4) % 7 + 7) % 7)};
    c.year += c.month <= 2;
    c.year_day = BEFORE[c.month - 1] + c.day - 1 + (c.month > 2 && is_leap(c.year));
    return c;
}

/* ISO 8601 week; *year may be the one before or behind. */
static int iso_week(const civil *c, int64_t *year) {
    const int monday0 = (c->week_day + 6) % 7;
    int week = (c->year_day - monday0 + 10) / 7;
    *year = c->year;
    if (week < 1) {
        (*year)--;
        const int64_t y = *year;
        const int dec31 = (monday0 - c->year_day % 7 + 6 + 7) % 7; /* its weekday, Monday 0 */
        week = dec31 == 3 || (dec31 == 4 && is_leap(y)) ? 53 : 52;
    } else if (week == 53) {
        const int last = is_leap(c->year) ? 365 : 364;
        const int dec31 = (monday0 + last - c->year_day) % 7;
        if (dec31 < 3) {
            week = 1;
            (*year)++;
        }
    }
    return week;
}

/* v with at least `width` digits; pad 0: none. */
static void add_padded(tv_text *b, int64_t v, int width, char pad) {
    char digits[24];
    int n = 0;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        digits[sizeof digits - (size_t)++n] = (char)('0' + u % 10);
        u /= 10;
    } while (u);
    if (v < 0) tv_add(b, "-");
    for (int k = n; pad && k < width; k++) tv_add_bytes(b, &pad, 1, RT_FROM_TEMPLATE);
    tv_add_bytes(b, digits + sizeof digits - (size_t)n, (size_t)n, RT_FROM_TEMPLATE);
}

static const char *const DAYS[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                   "Thursday", "Friday", "Saturday"};
static const char *const MONTHS[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};

/* Composite directives. */
static const char *expansion(char d) {
    switch (d) {
    case 'c':
        return "%a %b %e %H:%M:%S %Y";
    case 'D':
    case 'x':
        return "%m/%d/%y";
    case 'F':
        return "%Y-%m-%d";
    case 'R':
        return "%H:%M";
    case 'r':
        return "%I:%M:%S %p";
    case 'T':
    case 'X':
        return "%H:%M:%S";
    default:
        return NULL;
    }
}

/* Numbers: value, width, and what fills it. */
static bool add_number_of(tv_text *b, const civil *c, char d, char flag) {
    int64_t iso_year, v;
    const int week = iso_week(c, &iso_year), hour12 = (c->hour + 11) % 12 + 1;
    int width = 2;
    char pad = '0';
    switch (d) {
    case 'd':
        v = c->day;
        break;
    case 'e':
        v = c->day;
        pad = ' ';
        break;
    case 'H':
        v = c->hour;
        break;
    case 'k':
        v = c->hour;
        pad = ' ';
        break;
    case 'I':
        v = hour12;
        break;
    case 'l':
        v = hour12;
        pad = ' ';
        break;
    case 'j':
        v = c->year_day + 1;
        width = 3;
        break;
    case 'M':
        v = c->minute;
        break;
    case 'm':
        v = c->month;
        break;
    case 'S':
        v = c->second;
        break;
    case 'f':
        v = 0;
        width = 6;
        break;
    case 'U':
        v = (c->year_day + 7 - c->week_day) / 7;
        break;
    case 'W':
        v = (c->year_day + 7 - (c->week_day + 6) % 7) / 7;
        break;
    case 'V':
        v = week;
        break;
    case 'u':
        v = (c->week_day + 6) % 7 + 1;
        width = 1;
        break;
    case 'w':
        v = c->week_day;
        width = 1;
        break;
    case 'y':
        v = ((c->year % 100) + 100) % 100;
        break;
    case 'g':
        v = ((iso_year % 100) + 100) % 100;
        break;
    case 'C':
        v = floor_div(c->year, 100);
        break;
    case 'Y':
        v = c->year;
        width = 1;
        break;
    case 'G':
        v = iso_year;
        width = 1;
        break;
    default:
        return false;
    }
    if (flag == '-') pad = 0;
    if (flag == '_') pad = ' ';
    if (flag == '0') pad = '0';
    add_padded(b, v, width, pad);
    return true;
}

/* Names, as they are or (flag ^) in capitals. */
static bool add_name_of(tv_text *b, const civil *c, char d, char flag) {
    const char *name = NULL;
    size_t n = 0;
    if (d == 'a' || d == 'A') name = DAYS[c->week_day];
    if (d == 'b' || d == 'h' || d == 'B') name = MONTHS[c->month - 1];
    if (d == 'p' || d == 'P')
        name = c->hour < 12 ? (d == 'p' ? "AM" : "am") : d == 'p' ? "PM" : "pm";
    if (d == 'n') name = "\n";
    if (d == 't') name = "\t";
    if (d == '%') name = "%";
    if (d == 'z' || d == 'Z') name = ""; /* a time without zone */
    if (!name) return false;
    n = d == 'a' || d == 'b' || d == 'h' ? 3 : strlen(name);
    for (size_t i = 0; i < n; i++) {
        const char up =
            flag == '^' && name[i] >= 'a' && name[i] <= 'z' ? (char)(name[i] & ~0x20) : name[i];
        tv_add_bytes(b, &up, 1, RT_FROM_TEMPLATE);
    }
    return true;
}

static void add_time(tv_text *b, const civil *c, const rt_text *f, bool nested) {
    size_t from = 0;
    for (size_t i = 0; i < f->n && tv_work(b->vm, 1); i++) {
        if (f->at[i] != '%' || i + 1 == f->n) continue;
        tv_add_part(b, f, from, i);
        size_t k = i + 1;
        char flag = 0;
        while (k + 1 < f->n && strchr("-_0^", f->at[k])) flag = f->at[k++];
        const char *longer = nested ? NULL : expansion(f->at[k]);
        if (longer) {
            const rt_text t = {.at = longer, .n = strlen(longer)};
            add_time(b, c, &t, true);
        } else if (!add_number_of(b, c, f->at[k], flag) && !add_name_of(b, c, f->at[k], flag)) {
            tv_add_part(b, f, i, k + 1); /* unknown: as it stands, as glibc does */
        }
        i = k;
        from = k + 1;
    }
    if (from < f->n) tv_add_part(b, f, from, f->n);
}

rt_value tv_strftime(tvm *vm, const rt_template_clock *clock, const rt_text *format) {
    if (clock->local_s < -62135596800 || clock->local_s > 253402300799)
        return tv_fail(vm, "the time given is not in the years 1 to 9999");
    const civil c = civil_of(clock->local_s);
    tv_text b;
    tv_text_begin(vm, &b);
    add_time(&b, &c, format, false);
    return tv_text_end(&b);
}
