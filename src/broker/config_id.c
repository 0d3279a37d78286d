/* SPDX-License-Identifier: MIT */

#include "broker/config_id.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "broker/config_number.h"
#include "util/mem.h"

#define LOOKUP_MAX (1 << 20) /* bytes of a user's or group's record */
#define NAME_SIZE  256       /* bytes of a user's or group's name, with the NUL */

/* Calls getpwnam_r() or getgrnam_r() with as much room as it wants. Return: 0, ENOENT, or why it failed. */
static int name_look_up(enum config_id kind, const char *name, uint32_t *idp)
{
        struct passwd passwd, *user = NULL;
        struct group group, *found = NULL;
        char *room = NULL;
        int r = ERANGE;

        for (size_t size = 1024; r == ERANGE && size <= LOOKUP_MAX; size *= 2) {
                room = mem_realloc(room, size);
                r = kind == CONFIG_ID_USER ? getpwnam_r(name, &passwd, room, size, &user)
                                           : getgrnam_r(name, &group, room, size, &found);
        }
        if (user)
                *idp = passwd.pw_uid;
        else if (found)
                *idp = group.gr_gid;
        else if (!r)
                r = ENOENT;
        free(room);
        return r;
}

bool config_id_read(enum config_id kind, struct bytes text, uint32_t *idp, struct buffer *why)
{
        const char *what = kind == CONFIG_ID_USER ? "user" : "group";
        char name[NAME_SIZE];
        uint64_t number;
        uint32_t id;
        int r;

        if (config_number_read(text, 0, CONFIG_NO_ID - 1, &number)) {
                *idp = (uint32_t)number;
                return true;
        }
        if (!text.n || text.n >= sizeof(name) || memchr(text.p, 0, text.n))
                return false;
        memcpy(name, text.p, text.n);
        name[text.n] = 0;
        r = name_look_up(kind, name, &id);
        /* The many ways of libraries to say that there is none, getpwnam(3). */
        if (r == ENOENT || r == ESRCH || r == EBADF || r == EPERM || (!r && id == CONFIG_NO_ID)) {
                buffer_printf(why, "there is no such %s", what);
                return false;
        }
        if (r) {
                buffer_printf(why, "cannot look up the %s: %s", what, strerror(r));
                return false;
        }
        *idp = id;
        return true;
}

/* Two numbers and a "-" between them are no name. Return: whether the text is that. */
static bool range_split(struct bytes text, struct bytes *leastp, struct bytes *greatestp)
{
        const uint8_t *dash = text.n ? memchr(text.p, '-', text.n) : NULL;

        if (!dash)
                return false;
        *leastp = bytes_of(text.p, (size_t)(dash - text.p));
        *greatestp = bytes_of(dash + 1, text.n - leastp->n - 1);
        return leastp->n && greatestp->n && config_number_digits(*leastp) && config_number_digits(*greatestp);
}

bool config_id_range_read(struct bytes text, struct config_range *rangep, struct buffer *why)
{
        struct bytes first, last;
        uint64_t least, greatest;
        uint32_t id;

        if (!range_split(text, &first, &last)) {
                if (!config_id_read(CONFIG_ID_USER, text, &id, why))
                        return false;
                *rangep = (struct config_range){ id, id };
                return true;
        }
        if (!config_number_read(first, 0, CONFIG_NO_ID - 1, &least) ||
            !config_number_read(last, 0, CONFIG_NO_ID - 1, &greatest))
                return false;
        if (least > greatest) {
                buffer_printf(why, "the range is empty");
                return false;
        }
        *rangep = (struct config_range){ (uint32_t)least, (uint32_t)greatest };
        return true;
}

void config_id_range_write(struct config_range range, struct buffer *out)
{
        buffer_printf(out, "%" PRIu32, range.least);
        if (range.greatest != range.least)
                buffer_printf(out, "-%" PRIu32, range.greatest);
}
