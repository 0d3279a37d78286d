/* SPDX-License-Identifier: MIT */

#include "ctl/link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/explain.h"
#include "ctl/say.h"
#include "util/clock.h"
#include "util/mem.h"

/* Tried in this order when no socket was named: the first is for those who administer, the second for all. */
static const char *const default_sockets[] = { "/run/brokerd/admin.sock", "/run/brokerd/brokerd.sock" };

/* ---------------------------------------------------------------- connecting */

/* Return: CTL_OK, CTL_USAGE after saying why. */
static int link_address(struct sockaddr_un *address, socklen_t *sizep, const char *path)
{
        size_t n = strlen(path), max = sizeof(address->sun_path) - 1;

        if (n == 0 || !strcmp(path, "@")) {
                say_usage("bad socket \"%s\": expected a path, or @ and a name", path);
                return CTL_USAGE;
        }
        /* The @ gives its place to the 0 byte that marks an abstract name, so such a name may fill the field.
         */
        if (n > max + (path[0] == '@')) {
                say_usage("bad socket: %zu bytes are too long, at most %zu fit: %s", n, max + (path[0] == '@'),
                          path);
                return CTL_USAGE;
        }
        *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
        memcpy(address->sun_path, path, n);
        *sizep = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (path[0] != '@'));
        if (path[0] == '@')
                address->sun_path[0] = 0;
        return CTL_OK;
}

/*
 * A blocking connect() waits for a place in the broker's queue as long as the send time-out says, then fails
 * with EAGAIN. Return: 0, errno.
 */
static int link_connect_fd(int fd, const struct sockaddr_un *address, socklen_t size, uint64_t deadline)
{
        for (;;) {
                uint64_t now = clock_now(), left = deadline > now ? deadline - now : 0;
                struct timeval tv = { (time_t)(left / NSEC_PER_SEC),
                                      (suseconds_t)(left % NSEC_PER_SEC / NSEC_PER_USEC) };

                if (left < NSEC_PER_USEC)
                        return EAGAIN;
                if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
                        return errno;
                if (connect(fd, (const struct sockaddr *)address, size) == 0)
                        break;
                if (errno != EINTR)
                        return errno;
        }
        return fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? errno : 0;
}

/* Return: 0, errno, or -CTL_USAGE after saying why. */
static int link_connect(struct link *link, const char *path, uint64_t deadline)
{
        struct sockaddr_un address;
        socklen_t size;
        int r;

        if (link_address(&address, &size, path))
                return -CTL_USAGE;
        link->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (link->fd < 0)
                return errno;
        r = link_connect_fd(link->fd, &address, size, deadline);
        if (r) {
                close(link->fd);
                link->fd = -1;
                return r;
        }
        link->path = path;
        return 0;
}

static int link_open_named(struct link *link, const char *path, uint64_t deadline)
{
        int r = link_connect(link, path, deadline);

        if (r < 0)
                return -r;
        return r ? explain_connect(path, r) : CTL_OK;
}

/* Each default socket may be absent or closed to this user while another serves; only when all fail, all are
 * told. */
static int link_open_default(struct link *link, uint64_t deadline)
{
        enum { N = sizeof(default_sockets) / sizeof(default_sockets[0]) };
        int errors[N], r = CTL_CONNECT;

        for (size_t i = 0; i < N; i++) {
                errors[i] = link_connect(link, default_sockets[i], deadline);
                if (!errors[i])
                        return CTL_OK;
        }
        for (size_t i = 0; i < N; i++) {
                int e;

                if (i > 0 && errors[i] == errors[0] && errors[i] == ENOENT)
                        continue;
                e = explain_connect(default_sockets[i], errors[i]);
                r = e == CTL_CONNECT ? r : e;
        }
        return r;
}

int link_open(struct link *link, const struct ctl_request *request)
{
        uint64_t deadline = clock_now() + request->timeout;
        const char *path = request->socket ? request->socket : getenv("BROKERCTL_SOCKET");

        *link = (struct link){ .fd = -1, .reader = redisReaderCreate() };
        if (!link->reader)
                mem_fail();
        return path ? link_open_named(link, path, deadline) : link_open_default(link, deadline);
}

void link_close(struct link *link)
{
        if (link->fd >= 0)
                close(link->fd);
        if (link->reader)
                redisReaderFree(link->reader);
        buffer_deinit(&link->out);
        *link = (struct link){ .fd = -1 };
}

/* ---------------------------------------------------------------- requests and answers */

void link_queue(struct link *link, const struct bytes *words, size_t n)
{
        const char **argv = mem_alloc(n * sizeof(*argv));
        size_t *sizes = mem_alloc(n * sizeof(*sizes));
        char *request;
        long long size;

        for (size_t i = 0; i < n; i++) {
                argv[i] = (const char *)words[i].p;
                sizes[i] = words[i].n;
        }
        size = redisFormatCommandArgv(&request, (int)n, argv, sizes);
        if (size < 0)
                mem_fail();
        buffer_put(&link->out, request, (size_t)size);
        redisFreeCommand(request);
        free(sizes);
        free(argv);
}

int link_parse(struct link *link, redisReply **replyp)
{
        void *reply = NULL;

        if (redisReaderGetReply(link->reader, &reply) != REDIS_OK)
                return LINK_E_PROTOCOL;
        *replyp = reply;
        return 0;
}

/* Milliseconds until deadline, rounded up, as poll() takes them; -1: without end. */
static int link_poll_ms(uint64_t deadline)
{
        uint64_t now, ms;

        if (deadline == CLOCK_NEVER)
                return -1;
        now = clock_now();
        if (now >= deadline)
                return 0;
        ms = (deadline - now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;
        return ms < 1000000 ? (int)ms : 1000000;
}

/* A failed write says nothing about the answer, which may be waiting behind it. */
static void link_write(struct link *link)
{
        struct bytes b = buffer_view(&link->out);
        ssize_t n = send(link->fd, b.p, b.n, MSG_NOSIGNAL);

        if (n >= 0)
                buffer_consume(&link->out, (size_t)n);
        else if (errno != EAGAIN && errno != EINTR)
                link->deaf = true;
}

static int link_read(struct link *link)
{
        char chunk[16384];
        ssize_t n = recv(link->fd, chunk, sizeof(chunk), 0);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : LINK_E_LOST;
        if (n == 0)
                return link->deaf || buffer_size(&link->out) ? LINK_E_LOST : LINK_E_EOF;
        if (redisReaderFeed(link->reader, chunk, (size_t)n) != REDIS_OK)
                mem_fail();
        return 0;
}

int link_pump(struct link *link, uint64_t deadline, int watch)
{
        bool writing = !link->deaf && buffer_size(&link->out) > 0;
        struct pollfd p[2] = {
                { .fd = link->fd, .events = (short)(POLLIN | (writing ? POLLOUT : 0)) },
                { .fd = watch }, /* poll() passes over a negative one */
        };
        int n = poll(p, 2, link_poll_ms(deadline));

        if (n < 0)
                return errno == EINTR ? 0 : LINK_E_LOST;
        if (n == 0)
                return deadline != CLOCK_NEVER && clock_now() >= deadline ? LINK_E_TIMEOUT : 0;
        if (p[1].revents & (POLLERR | POLLHUP))
                return LINK_E_WATCH;
        if (p[0].revents & POLLOUT)
                link_write(link);
        return p[0].revents & (POLLIN | POLLHUP | POLLERR) ? link_read(link) : 0;
}

int link_receive(struct link *link, uint64_t deadline, redisReply **replyp)
{
        for (;;) {
                redisReply *reply;
                int r = link_parse(link, &reply);

                if (r)
                        return r;
                if (reply) {
                        *replyp = reply;
                        return 0;
                }
                r = link_pump(link, deadline, -1);
                if (r)
                        return r;
        }
}

int link_explain(const struct link *link, const struct ctl_request *request, int e)
{
        switch (e) {
        case LINK_E_TIMEOUT:
                say_error("no answer from %s within %g s", link->path, (double)request->timeout / 1e9);
                return CTL_TIMEOUT;
        case LINK_E_PROTOCOL:
                say_error("what %s answers is not the Redis protocol: %s", link->path, link->reader->errstr);
                say_hint("is this brokerd's socket? name it with -s");
                return CTL_FAILED;
        case LINK_E_WATCH:
                say_broken_pipe();
        case LINK_E_EOF:
                say_error("lost the connection to %s: the broker closed it", link->path);
                return CTL_CONNECT;
        default:
                say_error("lost the connection to %s: the broker closed it before it had read everything",
                          link->path);
                return CTL_CONNECT;
        }
}

int link_refused(const struct link *link, const redisReply *reply)
{
        struct bytes text = bytes_of(reply->str, reply->len);
        bool denied = text.n >= 6 && !memcmp(text.p, "NOPERM", 6) && (text.n == 6 || text.p[6] == ' ');

        say_bytes("the broker answered", text);
        if (denied) {
                say_hint("you are uid %ju; only uid 0 and the user that brokerd runs as may do this",
                         (uintmax_t)geteuid());
                return CTL_DENIED;
        }
        if (text.n >= 19 && !memcmp(text.p, "ERR unknown command", 19))
                say_hint("is %s brokerd's socket, and of this version?", link->path);
        return CTL_FAILED;
}

int link_ask(struct link *link, const struct ctl_request *request, const struct bytes *words, size_t n,
             redisReply **replyp)
{
        int r = link_open(link, request);

        return r ? r : link_ask_on(link, request, words, n, replyp);
}

int link_ask_on(struct link *link, const struct ctl_request *request, const struct bytes *words, size_t n,
                redisReply **replyp)
{
        redisReply *reply;
        int r;

        link_queue(link, words, n);
        r = link_receive(link, clock_now() + request->timeout, &reply);
        if (r)
                return link_explain(link, request, r);
        if (reply->type == REDIS_REPLY_ERROR) {
                r = link_refused(link, reply);
                freeReplyObject(reply);
                return r;
        }
        *replyp = reply;
        return CTL_OK;
}
