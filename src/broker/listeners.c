/* SPDX-License-Identifier: MIT */

#include "broker/listeners.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "broker/service.h"
#include "shard/message.h"
#include "util/log.h"
#include "util/mem.h"

struct listeners {
        struct listener **all; /* in the order of the configuration */
        unsigned n;
        struct listener *admin; /* NULL: none */
        char **names;           /* that clients were ever given */
        unsigned n_names;
};

/* A listener of the configuration that is to come. */
struct place {
        struct config_listener config; /* as it is to be */
        struct listener *listener;
        bool fresh;                    /* not there before */
        bool changed;                  /* there before as: */
        struct config_listener before; /* its path is the listener's */
};

struct listeners_change {
        unsigned n;
        struct place places[];
};

struct listeners *listeners_new(void)
{
        return mem_zalloc(sizeof(struct listeners));
}

struct listeners *listeners_free(struct listeners *set)
{
        if (!set)
                return NULL;
        listeners_close(set);
        for (unsigned i = 0; i < set->n_names; i++)
                free(set->names[i]);
        free(set->names);
        free(set);
        return NULL;
}

/* ------------------------------------------------------------------ names */

static const char *names_find(const struct listeners *set, const char *path)
{
        for (unsigned i = 0; i < set->n_names; i++)
                if (strcmp(set->names[i], path) == 0)
                        return set->names[i];
        return NULL;
}

static const char *names_keep(struct listeners *set, const char *path)
{
        const char *known = names_find(set, path);
        size_t n = strlen(path) + 1;

        if (known)
                return known;
        assert(set->n_names < LISTENERS_NAMES_MAX);
        set->names = mem_realloc(set->names, (set->n_names + 1) * sizeof(*set->names));
        return set->names[set->n_names++] = memcpy(mem_alloc(n), path, n);
}

/* Whether there is room for those of a configuration. */
static bool names_fit(const struct listeners *set, const struct config *config)
{
        unsigned n = set->n_names;

        for (unsigned i = 0; i < config->n_listeners; i++)
                n += names_find(set, config->listeners[i].path) == NULL;
        return n <= LISTENERS_NAMES_MAX;
}

/* ------------------------------------------------------------------ start and end */

/* Return: NULL: the name is not to be had, why was logged. */
static struct listener *listeners_bind_one(const struct config_listener *config, uint64_t patience_ns)
{
        struct listener *l = mem_zalloc(sizeof(*l));

        if (listener_bind(l, config, patience_ns) == 0)
                return l;
        free(l);
        return NULL;
}

static void listeners_end_one(struct listener *l)
{
        listener_close(l);
        free(l);
}

static struct listener *listeners_find(const struct listeners *set, const char *path)
{
        for (unsigned i = 0; i < set->n; i++)
                if (strcmp(set->all[i]->path, path) == 0)
                        return set->all[i];
        return NULL;
}

/* What a configuration says of a passed socket: the item of its path, else the defaults. */
static struct config_listener passed_config(const struct config *config, char *path)
{
        for (unsigned i = 0; i < config->n_listeners; i++)
                if (strcmp(config->listeners[i].path, path) == 0)
                        return config->listeners[i];
        return (struct config_listener){ .path = path,
                                         .owner = (uid_t)-1,
                                         .group = (gid_t)-1,
                                         .authentication = CONFIG_AUTHENTICATION_NONE };
}

static int passed_refuse(const struct service_socket *socket, const char *why)
{
        log_error("the socket \"%s\" that the service manager passed cannot be used: %s", socket->name, why);
        return LISTENERS_E_REFUSED;
}

/* Return: 0, LISTENERS_E_REFUSED. */
static int passed_take(struct listeners *set, const struct config *config, struct service_socket *socket)
{
        char path[LISTENER_PATH_MAX + 1];
        struct config_listener item;
        struct listener *l;
        bool admin;

        if (!listener_name(socket->fd, path))
                return passed_refuse(socket, "it has no name that a configuration could have");
        admin = strcmp(socket->name, "admin") == 0 || (config->admin && strcmp(config->admin, path) == 0);
        if (listeners_find(set, path) || (set->admin && strcmp(set->admin->path, path) == 0))
                return passed_refuse(socket, "another one has the same path");
        if (admin && set->admin)
                return passed_refuse(socket, "there is another one for administration");
        item = passed_config(config, path);
        l = mem_zalloc(sizeof(*l));
        listener_adopt(l, socket->fd, &item);
        socket->fd = -1;
        if (admin)
                set->admin = l;
        else
                set->all[set->n++] = l;
        return 0;
}

/* Return: 0, LISTENERS_E_REFUSED. */
static int passed_take_all(struct listeners *set, const struct config *config, struct service *service)
{
        int r = 0;

        for (unsigned i = 0; !r && service && i < service->n_sockets; i++)
                r = passed_take(set, config, &service->sockets[i]);
        return r;
}

/* Return: 0, LISTENERS_E_REFUSED. */
static int listeners_bind_all(struct listeners *set, const struct config *config)
{
        for (unsigned i = 0; i < config->n_listeners; i++) {
                const struct config_listener *item = &config->listeners[i];

                if (listeners_find(set, item->path))
                        continue;
                set->all[set->n] = listeners_bind_one(item, LISTENER_PATIENCE_NS);
                if (!set->all[set->n])
                        return LISTENERS_E_REFUSED;
                set->n++;
        }
        return 0;
}

static void listeners_say_none(const struct config *config)
{
        log_error(
                "there is no socket for clients: %s has none in \"listeners\", and the service manager passed "
                "none",
                config->file);
}

int listeners_bind(struct listeners *set, const struct config *config, struct service *service)
{
        struct config_listener admin = {
                .path = config->admin, .mode = 0600, .owner = (uid_t)-1, .group = (gid_t)-1, .backlog = 64
        };
        unsigned n = config->n_listeners + (service ? service->n_sockets : 0);

        assert(!set->n && !set->admin);
        set->all = mem_zalloc((n + 1) * sizeof(struct listener *));
        if (passed_take_all(set, config, service) || listeners_bind_all(set, config))
                return LISTENERS_E_REFUSED;
        if (!set->n) {
                listeners_say_none(config);
                return LISTENERS_E_NONE;
        }
        if (!config->admin || set->admin)
                return 0;
        set->admin = listeners_bind_one(&admin, LISTENER_PATIENCE_NS);
        return set->admin ? 0 : LISTENERS_E_REFUSED;
}

int listeners_give(struct listeners *set, uid_t uid, gid_t gid)
{
        int r = set->admin ? listener_give(set->admin, uid, gid) : 0;

        for (unsigned i = 0; !r && i < set->n; i++)
                r = listener_give(set->all[i], uid, gid);
        return r ? LISTENERS_E_REFUSED : 0;
}

int listeners_look_ahead(const struct listeners *set)
{
        int r = set->admin ? listener_look_ahead(set->admin) : 0;

        for (unsigned i = 0; !r && i < set->n; i++)
                r = listener_look_ahead(set->all[i]);
        return r ? LISTENERS_E_REFUSED : 0;
}

static uint32_t listeners_flags(const struct listener *l)
{
        return l->authentication == CONFIG_AUTHENTICATION_REQUIRED ? ADOPT_AUTHENTICATE : 0;
}

static void listeners_let_in(struct listeners *set, const struct listener *l, struct acceptor *acceptor,
                             uint32_t flags)
{
        acceptor_add(acceptor, l->fd, names_keep(set, l->path), flags);
        log_info("listening on %s%s%s", l->path, flags & ADOPT_ADMIN ? " for administration" : "",
                 l->passed ? ", passed by the service manager" : "");
}

int listeners_open(struct listeners *set, struct acceptor *acceptor)
{
        for (unsigned i = 0; i < set->n; i++) {
                if (listener_listen(set->all[i]))
                        return LISTENERS_E_REFUSED;
                listeners_let_in(set, set->all[i], acceptor, listeners_flags(set->all[i]));
        }
        if (!set->admin)
                return 0;
        if (listener_listen(set->admin))
                return LISTENERS_E_REFUSED;
        listeners_let_in(set, set->admin, acceptor, ADOPT_ADMIN);
        return 0;
}

void listeners_close(struct listeners *set)
{
        for (unsigned i = 0; i < set->n; i++)
                listeners_end_one(set->all[i]);
        free(set->all);
        set->all = NULL;
        set->n = 0;
        if (set->admin)
                listeners_end_one(set->admin);
        set->admin = NULL;
}

/* ------------------------------------------------------------------ a change */

static bool change_has(const struct listeners_change *change, const struct listener *l)
{
        for (unsigned i = 0; i < change->n; i++)
                if (change->places[i].listener == l)
                        return true;
        return false;
}

/* What is there already, or a new one that is bound. Return: 0, LISTENERS_E_REFUSED. */
static int place_fill(struct place *p, const struct listeners *set)
{
        const struct config_listener *config = &p->config;

        p->listener = listeners_find(set, config->path);
        if (p->listener)
                return 0;
        if (set->admin && strcmp(set->admin->path, config->path) == 0) {
                log_error("cannot listen on %s: it is the socket for administration until the next start",
                          config->path);
                return LISTENERS_E_REFUSED;
        }
        p->fresh = true;
        p->listener = listeners_bind_one(config, 0);
        return p->listener ? 0 : LISTENERS_E_REFUSED;
}

static int place_change(struct place *p)
{
        const struct config_listener *config = &p->config;

        if (p->fresh || !listener_differs(p->listener, config))
                return 0;
        p->before = listener_config(p->listener);
        p->changed = listener_change(p->listener, config) == 0;
        return p->changed ? 0 : LISTENERS_E_REFUSED;
}

/* New sockets last: until then nobody could connect who would have to be turned away. */
static int change_prepare(struct listeners_change *change, const struct listeners *set)
{
        int r = 0;

        for (unsigned i = 0; !r && i < change->n; i++)
                r = place_fill(&change->places[i], set);
        for (unsigned i = 0; !r && i < change->n; i++)
                r = place_change(&change->places[i]);
        for (unsigned i = 0; !r && i < change->n; i++)
                if (change->places[i].fresh)
                        r = listener_listen(change->places[i].listener);
        return r ? LISTENERS_E_REFUSED : 0;
}

/* Those of the configuration, and behind them the passed ones that it does not mention, which stay. */
static void change_plan(struct listeners_change *change, const struct listeners *set,
                        const struct config *config)
{
        while (change->n < config->n_listeners) {
                change->places[change->n].config = config->listeners[change->n];
                change->n++;
        }
        for (unsigned i = 0; i < set->n; i++) {
                struct config_listener item = passed_config(config, set->all[i]->path);

                if (set->all[i]->passed && item.path == set->all[i]->path)
                        change->places[change->n++].config = item;
        }
}

int listeners_prepare(struct listeners *set, const struct config *config, struct listeners_change **changep)
{
        struct listeners_change *change;
        unsigned n = config->n_listeners + set->n;

        if (!names_fit(set, config)) {
                log_error("cannot listen on more than %d different paths in one life of the broker",
                          LISTENERS_NAMES_MAX);
                return LISTENERS_E_REFUSED;
        }
        change = mem_zalloc(sizeof(*change) + n * sizeof(*change->places));
        change_plan(change, set, config);
        if (!change->n)
                listeners_say_none(config);
        if (!change->n || change_prepare(change, set)) {
                listeners_cancel(change);
                return LISTENERS_E_REFUSED;
        }
        *changep = change;
        return 0;
}

void listeners_cancel(struct listeners_change *change)
{
        for (unsigned i = change->n; i-- > 0;) {
                struct place *p = &change->places[i];

                if (p->changed)
                        listener_change(p->listener, &p->before);
                else if (p->fresh && p->listener)
                        listeners_end_one(p->listener);
        }
        free(change);
}

static void listeners_retire(struct listener *l, struct acceptor *acceptor)
{
        listener_hide(l);
        acceptor_remove(acceptor, l->fd);
        log_info("no longer listening on %s; its clients stay", l->path);
        listeners_end_one(l);
}

void listeners_commit(struct listeners *set, struct listeners_change *change, struct acceptor *acceptor)
{
        for (unsigned i = 0; i < set->n; i++)
                if (!change_has(change, set->all[i]))
                        listeners_retire(set->all[i], acceptor);
        set->all = mem_realloc(set->all, change->n * sizeof(struct listener *));
        set->n = change->n;
        for (unsigned i = 0; i < change->n; i++) {
                set->all[i] = change->places[i].listener;
                if (change->places[i].fresh)
                        listeners_let_in(set, set->all[i], acceptor, listeners_flags(set->all[i]));
                if (!change->places[i].changed)
                        continue;
                acceptor_set_flags(acceptor, set->all[i]->fd, listeners_flags(set->all[i]));
                log_info("changed the socket %s: mode, owner, group, backlog or authentication",
                         set->all[i]->path);
        }
        free(change);
}
