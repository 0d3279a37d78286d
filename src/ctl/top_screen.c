/* SPDX-License-Identifier: MIT */

#include "ctl/top_screen.h"

#include <curses.h>
#include <inttypes.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "ctl/say.h"
#include "ctl/text.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/utf8.h"

enum panel {
        PANEL_CHANNELS,
        PANEL_PUBLISHERS,
        PANEL_WAITING,
        _PANEL_N,
};

enum mode {
        MODE_VIEW,
        MODE_FILTER, /* letters go to the filter */
        MODE_KILL,   /* the question is open */
        MODE_HELP,
};

struct screen {
        struct top_session *session;
        SCREEN *term;
        int signals; /* descriptor */
        int signal;  /* that ended it; 0: none */
        sigset_t blocked_before;
        enum mode mode;
        enum panel panel; /* that is chosen */
        enum top_sort sort[_PANEL_N];
        size_t row[_PANEL_N];      /* that is chosen, of those shown */
        uint64_t chosen[_PANEL_N]; /* the client there, which stays chosen as it moves; 0: none */
        char filter[64];
        uint64_t kill_id;
        char kill_name[80];
        bool paused, done;
};

/* What a panel can be sorted by, in the order of its keys; ends with the first again. */
static const struct {
        const char *title;
        enum top_sort sorts[5];
        unsigned n_sorts;
} panels[_PANEL_N] = {
        { "CHANNELS", { TOP_BY_RATE, TOP_BY_BYTES, TOP_BY_SUBSCRIBERS, TOP_BY_NAME }, 4 },
        { "PUBLISHERS", { TOP_BY_RATE, TOP_BY_BYTES, TOP_BY_NAME }, 3 },
        { "SLOWEST", { TOP_BY_QUEUED, TOP_BY_NAME }, 2 },
};

/* ---------------------------------------------------------------- writing */

/* Bytes of the text that take at most so many columns; a character is taken to be one wide. */
static size_t screen_fit(const char *text, int width, int *usedp)
{
        struct bytes b = bytes_str(text);
        uint32_t c;
        int used = 0;

        while (b.n > 0 && used < width) {
                size_t n = utf8_next(b, &c);

                n += !n;
                b = bytes_of(b.p + n, b.n - n);
                used++;
        }
        *usedp = used;
        return (size_t)((const char *)b.p - text);
}

/* A cell of so many columns; negative: to the right. What does not fit is cut. */
static void screen_put(int y, int x, int width, const char *text)
{
        int columns = width < 0 ? -width : width, used;
        size_t n;

        if (y >= LINES || x >= COLS || columns <= 0)
                return;
        if (columns > COLS - x)
                columns = COLS - x;
        n = screen_fit(text, columns, &used);
        mvaddnstr(y, width < 0 ? x + columns - used : x, text, (int)n);
}

__attribute__((format(printf, 4, 5))) static void screen_printf(int y, int x, int width, const char *format,
                                                                ...)
{
        char text[512];
        va_list ap;

        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        screen_put(y, x, width, text);
}

static void screen_count(int y, int x, int width, double n)
{
        char text[TEXT_NUMBER_SIZE] = "-";

        if (n >= 0)
                text_count(text, (uint64_t)(n + 0.5));
        screen_put(y, x, -width, text);
}

static void screen_bytes(int y, int x, int width, double n)
{
        char text[TEXT_NUMBER_SIZE] = "-";

        if (n >= 0)
                text_bytes(text, (uint64_t)(n + 0.5));
        screen_put(y, x, -width, text);
}

/* ---------------------------------------------------------------- the head */

static double screen_rate(const struct screen *w, double rate)
{
        return w->session->has_rates ? rate : -1;
}

/* "12.3K" or "-" */
static const char *screen_text(char *to, double n, void (*format)(char *to, uint64_t n))
{
        strcpy(to, "-");
        if (n >= 0)
                format(to, (uint64_t)(n + 0.5));
        return to;
}

static void head_draw(const struct screen *w)
{
        const struct top_look *look = &w->session->look;
        const struct top_rates *r = &w->session->sum;
        char up[TEXT_DURATION_SIZE], a[TEXT_NUMBER_SIZE], b[TEXT_NUMBER_SIZE], c[TEXT_NUMBER_SIZE],
                d[TEXT_NUMBER_SIZE];
        uint64_t waiting = 0, output = 0, backlog = 0;

        text_duration(up, look->uptime);
        for (unsigned i = 0; i < look->n_shards; i++) {
                waiting += look->shards[i].waiting_clients;
                output += look->shards[i].output_bytes;
                backlog += look->shards[i].backlog_bytes;
        }
        attron(A_BOLD);
        screen_printf(0, 0, COLS, "brokerd %s, pid %" PRIu64 ", up %s, clients %" PRIu64 " of %" PRIu64 "%s",
                      look->version, look->pid, up, look->clients, look->max_clients,
                      w->paused ? "  PAUSED" : "");
        attroff(A_BOLD);
        screen_printf(1, 0, COLS, "in %s msg/s, %s B/s; out %s msg/s, %s B/s",
                      screen_text(a, screen_rate(w, r->messages_in), text_count),
                      screen_text(b, screen_rate(w, r->bytes_in), text_bytes),
                      screen_text(c, screen_rate(w, r->messages_out), text_count),
                      screen_text(d, screen_rate(w, r->bytes_out), text_bytes));
        screen_printf(2, 0, COLS, "drops %s/s; slow clients: %" PRIu64 ", %s B queued; between shards: %s B",
                      screen_text(a, screen_rate(w, r->drops), text_count), waiting,
                      screen_text(b, (double)output, text_bytes), screen_text(c, (double)backlog, text_bytes));
}

#define SHARD_BAR      12 /* columns of a bar */
#define SHARD_BAR_WIDE 40 /* where there is room */

static void shard_draw(const struct screen *w, unsigned i, int y)
{
        const struct top_shard *shard = &w->session->look.shards[i];
        const struct top_rates *r = &w->session->shards[i];
        char bar[SHARD_BAR_WIDE + 1], a[TEXT_NUMBER_SIZE], b[TEXT_NUMBER_SIZE], c[TEXT_NUMBER_SIZE];
        int bar_width = COLS < 80 + SHARD_BAR_WIDE ? SHARD_BAR : SHARD_BAR_WIDE;
        int cpu = (int)(r->cpu * bar_width + 0.5), spin = (int)(r->spin * bar_width + 0.5);

        for (int k = 0; k < bar_width; k++)
                bar[k] = k >= cpu ? ' ' : k < cpu - spin ? '|' : ':'; /* the search for work is CPU time too */
        bar[bar_width] = 0;
        screen_printf(y, 0, COLS,
                      "shard %-2" PRIu64 " [%s] %3.0f%% in %s/s out %s/s ring %" PRIu64 "/%" PRIu64
                      " queued %s",
                      shard->id, bar, 100 * r->cpu, screen_text(a, screen_rate(w, r->messages_in), text_count),
                      screen_text(b, screen_rate(w, r->messages_out), text_count), shard->ring_used,
                      shard->ring_slots, screen_text(c, (double)shard->output_bytes, text_bytes));
}

/* Return: the row behind. */
static int shards_draw(const struct screen *w, int y)
{
        unsigned n = w->session->look.n_shards, room = LINES > 30 ? (unsigned)LINES / 4 : 4, shown;

        shown = n <= room ? n : room - 1;
        for (unsigned i = 0; i < shown; i++)
                shard_draw(w, i, y++);
        if (shown < n)
                screen_printf(y++, 0, COLS, "and %u more shards: brokerctl shards", n - shown);
        return y;
}

/* ---------------------------------------------------------------- the panels */

/* Marks the column that a panel is sorted by. */
static void panel_head(const struct screen *w, enum panel panel, int y, int x, int width, const char *name,
                       enum top_sort sort)
{
        screen_printf(y, x, width, "%s%s", name, w->sort[panel] == sort ? "*" : "");
}

static void panel_title(const struct screen *w, enum panel panel, int y, size_t shown, size_t n, uint64_t total)
{
        attron(w->panel == panel ? A_REVERSE : A_UNDERLINE);
        mvhline(y, 0, ' ', COLS);
        if (total > n)
                screen_printf(y, 0, 36, "%s %zu of %zu, total %" PRIu64, panels[panel].title, shown, n, total);
        else
                screen_printf(y, 0, 36, "%s %zu of %zu", panels[panel].title, shown, n);
}

static void panel_title_end(void)
{
        attroff(A_REVERSE | A_UNDERLINE);
}

/* Where columns are, counted from the right end. */
static int from_right(int columns)
{
        return COLS - columns;
}

static void channel_draw(const struct top_channel *c, int y)
{
        screen_put(y, 1, from_right(44) - 2, c->name);
        screen_count(y, from_right(44), 7, (double)c->subscribers);
        screen_count(y, from_right(35), 8, c->rate);
        screen_bytes(y, from_right(26), 8, c->byte_rate);
        screen_count(y, from_right(17), 8, (double)c->messages);
        if (c->last_ms == UINT64_MAX)
                screen_put(y, from_right(8), -8, "-");
        else
                screen_printf(y, from_right(8), -8, "%.1f s", (double)c->last_ms / 1000);
}

static void channels_head(const struct screen *w, int y, size_t shown)
{
        const struct top_channels *list = &w->session->channels;

        panel_title(w, PANEL_CHANNELS, y, shown, list->n, list->total);
        panel_head(w, PANEL_CHANNELS, y, from_right(44), -7, "subs", TOP_BY_SUBSCRIBERS);
        panel_head(w, PANEL_CHANNELS, y, from_right(35), -8, "msg/s", TOP_BY_RATE);
        panel_head(w, PANEL_CHANNELS, y, from_right(26), -8, "B/s", TOP_BY_BYTES);
        screen_put(y, from_right(17), -8, "messages");
        screen_put(y, from_right(8), -8, "last");
        panel_title_end();
}

static void client_name(char *to, size_t size, const struct top_client *c)
{
        if (*c->name)
                snprintf(to, size, "%s", c->name);
        else
                snprintf(to, size, "pid %" PRIu64, c->pid);
}

static void publisher_draw(const struct top_client *c, int y)
{
        char name[128];

        client_name(name, sizeof(name), c);
        screen_put(y, 1, from_right(44) - 2, name);
        screen_printf(y, from_right(44), -8, "%" PRIu64, c->id);
        screen_printf(y, from_right(35), -8, "%" PRIu64, c->pid);
        screen_printf(y, from_right(26), -6, "%" PRIu64, c->shard);
        screen_count(y, from_right(18), 8, c->rate);
        screen_bytes(y, from_right(8), 8, c->byte_rate);
}

static void publishers_head(const struct screen *w, int y, size_t shown)
{
        panel_title(w, PANEL_PUBLISHERS, y, shown, w->session->publishers.n, 0);
        screen_put(y, from_right(44), -8, "id");
        screen_put(y, from_right(35), -8, "pid");
        screen_put(y, from_right(26), -6, "shard");
        panel_head(w, PANEL_PUBLISHERS, y, from_right(18), -8, "msg/s", TOP_BY_RATE);
        panel_head(w, PANEL_PUBLISHERS, y, from_right(8), -8, "B/s", TOP_BY_BYTES);
        panel_title_end();
}

static void waiting_draw(const struct top_client *c, int y)
{
        char name[128];

        client_name(name, sizeof(name), c);
        screen_put(y, 1, from_right(53) - 2, name);
        screen_printf(y, from_right(53), -8, "%" PRIu64, c->id);
        screen_printf(y, from_right(44), -8, "%" PRIu64, c->pid);
        screen_bytes(y, from_right(35), 8, (double)c->output);
        screen_bytes(y, from_right(26), 8, (double)c->unread);
        screen_count(y, from_right(17), 8, (double)c->lost);
        screen_printf(y, from_right(8), -8, "%.1f s", (double)c->idle_ms / 1000);
}

static void waiting_head(const struct screen *w, int y, size_t shown)
{
        panel_title(w, PANEL_WAITING, y, shown, w->session->waiting.n, 0);
        screen_put(y, from_right(53), -8, "id");
        screen_put(y, from_right(44), -8, "pid");
        panel_head(w, PANEL_WAITING, y, from_right(35), -8, "queued", TOP_BY_QUEUED);
        screen_put(y, from_right(26), -8, "kernel");
        screen_put(y, from_right(17), -8, "lost");
        screen_put(y, from_right(8), -8, "idle");
        panel_title_end();
}

static struct top_clients *panel_clients(const struct screen *w, enum panel panel)
{
        return panel == PANEL_PUBLISHERS ? &w->session->publishers
               : panel == PANEL_WAITING  ? &w->session->waiting
                                         : NULL;
}

static bool panel_fits(const struct screen *w, enum panel panel, size_t i)
{
        const struct top_clients *clients = panel_clients(w, panel);
        char name[128];

        if (!clients)
                return top_fits(w->session->channels.row[i].name, w->filter);
        client_name(name, sizeof(name), &clients->row[i]);
        return top_fits(name, w->filter);
}

static size_t panel_size(const struct screen *w, enum panel panel)
{
        const struct top_clients *clients = panel_clients(w, panel);

        return clients ? clients->n : w->session->channels.n;
}

/* Sorts, and finds the row of the client that is chosen again. Return: how many fit the filter. */
static size_t panel_order(struct screen *w, enum panel panel)
{
        struct top_clients *clients = panel_clients(w, panel);
        size_t n = panel_size(w, panel), k = 0;
        uint64_t chosen = w->chosen[panel];

        if (clients)
                top_clients_sort(clients, w->sort[panel]);
        else
                top_channels_sort(&w->session->channels, w->sort[panel]);
        for (size_t i = 0; i < n; i++) {
                if (!panel_fits(w, panel, i))
                        continue;
                if (clients && chosen && clients->row[i].id == chosen)
                        w->row[panel] = k;
                k++;
        }
        if (w->row[panel] >= k)
                w->row[panel] = k ? k - 1 : 0;
        return k;
}

static void panel_row(struct screen *w, enum panel panel, size_t i, int y, bool chosen)
{
        const struct top_clients *clients = panel_clients(w, panel);

        if (chosen) {
                w->chosen[panel] = clients ? clients->row[i].id : 0;
                attron(A_REVERSE);
                mvhline(y, 0, ' ', COLS);
                mvaddch(y, 0, '>');
        }
        if (panel == PANEL_CHANNELS)
                channel_draw(&w->session->channels.row[i], y);
        else if (panel == PANEL_PUBLISHERS)
                publisher_draw(&clients->row[i], y);
        else
                waiting_draw(&clients->row[i], y);
        attroff(A_REVERSE);
}

/* Into rows y to end, without it. */
static void panel_draw(struct screen *w, enum panel panel, int y, int end)
{
        static void (*const heads[])(const struct screen *, int, size_t) = { channels_head, publishers_head,
                                                                             waiting_head };
        const bool missing = panel == PANEL_CHANNELS ? w->session->no_channels : w->session->no_clients;
        size_t shown = panel_order(w, panel), k = 0, room = end - y > 1 ? (size_t)(end - y - 1) : 0, first;

        heads[panel](w, y++, shown);
        if (missing)
                screen_put(y, 1, COLS, "- the broker does not tell");
        first = room && w->row[panel] >= room ? w->row[panel] - room + 1 : 0;
        if (!shown)
                w->chosen[panel] = 0;
        for (size_t i = 0; i < panel_size(w, panel); i++) {
                if (!panel_fits(w, panel, i))
                        continue;
                if (k >= first && k < first + room)
                        panel_row(w, panel, i, y++, panel == w->panel && k == w->row[panel]);
                k++;
        }
}

/* ---------------------------------------------------------------- the whole */

static const char *const help[] = {
        "Tab         next list",
        "Up, Down    choose a row",
        "o or >, <   sort by the next column, by the one before; * marks it",
        "/           show only names with a text in them; Enter keeps it, Esc drops it",
        "k           end the chosen client, after a question",
        "p           pause: the figures stay as they are",
        "q           quit",
        "",
        "in: published. out: delivered. A bar is one CPU: | work, : search for work",
        "queued: waits in the broker. kernel: memory of what the socket holds for",
        "the client, which it has not read. idle: since it said or took something.",
        "",
        "Any key goes back.",
};

static void help_draw(void)
{
        for (size_t i = 0; i < sizeof(help) / sizeof(*help); i++)
                screen_put((int)i + 4, 2, COLS, help[i]);
}

static void foot_draw(const struct screen *w)
{
        int y = LINES - 1;

        if (w->mode == MODE_KILL)
                screen_printf(y, 0, COLS, "End client %" PRIu64 " (%s)? [y/N] ", w->kill_id, w->kill_name);
        else if (w->mode == MODE_FILTER)
                screen_printf(y, 0, COLS, "/%s", w->filter);
        else if (*w->session->note)
                screen_put(y, 0, COLS, w->session->note);
        else if (*w->filter)
                screen_printf(y, 0, COLS, "only names with \"%s\"; / changes that", w->filter);
        else
                screen_put(y, 0, COLS, "? help  Tab list  o sort  / filter  p pause  k kill  q quit");
}

static void screen_draw(struct screen *w)
{
        int y, each;

        erase();
        head_draw(w);
        if (w->mode == MODE_HELP) {
                help_draw();
        } else {
                y = shards_draw(w, 3);
                each = (LINES - 1 - y) / _PANEL_N;
                for (enum panel p = 0; p < _PANEL_N && each > 0; p++)
                        panel_draw(w, p, y + (int)p * each, y + ((int)p + 1) * each);
        }
        foot_draw(w);
        refresh();
}

/* ---------------------------------------------------------------- keys */

static void key_sort(struct screen *w, int step)
{
        unsigned n = panels[w->panel].n_sorts, i = 0;

        while (panels[w->panel].sorts[i] != w->sort[w->panel])
                i++;
        w->sort[w->panel] = panels[w->panel].sorts[(i + n + (unsigned)step) % n];
}

static void key_move(struct screen *w, int step)
{
        size_t *row = &w->row[w->panel];

        w->chosen[w->panel] = 0;
        if (step > 0)
                ++*row; /* drawing knows where the end is */
        else if (*row)
                --*row;
}

static void key_kill(struct screen *w)
{
        const struct top_clients *clients = panel_clients(w, w->panel);

        for (size_t i = 0; clients && i < clients->n; i++) {
                const struct top_client *c = &clients->row[i];

                if (c->id != w->chosen[w->panel])
                        continue;
                w->kill_id = c->id;
                client_name(w->kill_name, sizeof(w->kill_name), c);
                w->mode = MODE_KILL;
                return;
        }
        snprintf(w->session->note, sizeof(w->session->note), "choose a client first: Tab, Up and Down");
}

static void key_view(struct screen *w, int key)
{
        *w->session->note = 0;
        switch (key) {
        case 'q':
                w->done = true;
                break;
        case 'p':
                w->paused = !w->paused;
                break;
        case '?':
        case 'h':
                w->mode = MODE_HELP;
                break;
        case '/':
                w->mode = MODE_FILTER;
                break;
        case 'k':
                key_kill(w);
                break;
        case 'o':
        case '>':
                key_sort(w, 1);
                break;
        case '<':
                key_sort(w, -1);
                break;
        case '\t':
                w->panel = (w->panel + 1) % _PANEL_N;
                break;
        case KEY_UP:
        case KEY_DOWN:
                key_move(w, key == KEY_DOWN ? 1 : -1);
                break;
        default:
                break;
        }
}

/* Bytes of more than one are taken as they come. */
static void key_filter(struct screen *w, int key)
{
        size_t n = strlen(w->filter);

        if (key == 27)
                *w->filter = 0;
        if (key == 27 || key == '\n' || key == '\r' || key == KEY_ENTER)
                w->mode = MODE_VIEW;
        else if (n && (key == KEY_BACKSPACE || key == 127 || key == 8))
                w->filter[n - 1] = 0;
        else if (key >= ' ' && key < 256 && key != 127 && n + 1 < sizeof(w->filter))
                memcpy(w->filter + n, (char[]){ (char)key, 0 }, 2);
}

static void screen_key(struct screen *w, int key)
{
        switch (w->mode) {
        case MODE_VIEW:
                key_view(w, key);
                break;
        case MODE_FILTER:
                key_filter(w, key);
                break;
        case MODE_KILL:
                if (key == 'y' || key == 'Y')
                        top_session_kill(w->session, w->kill_id);
                w->mode = MODE_VIEW;
                break;
        case MODE_HELP:
                w->mode = MODE_VIEW;
                break;
        }
}

/* ---------------------------------------------------------------- the loop */

static void screen_resized(void)
{
        struct winsize size;

        if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_row && size.ws_col)
                resizeterm(size.ws_row, size.ws_col);
        clearok(stdscr, true);
}

static void screen_on_signal(struct screen *w)
{
        struct signalfd_siginfo info;

        if (read(w->signals, &info, sizeof(info)) != sizeof(info))
                return;
        if (info.ssi_signo == SIGWINCH)
                screen_resized();
        else if (info.ssi_signo == SIGCONT)
                clearok(stdscr, true);
        else
                w->signal = (int)info.ssi_signo;
}

static int screen_poll_ms(const struct screen *w)
{
        const struct top_session *s = w->session;
        uint64_t now = clock_now(), until = s->n_pending ? s->asked_at + s->request->timeout : s->next;

        if (w->paused && !s->n_pending)
                return -1;
        return until > now ? (int)((until - now) / NSEC_PER_MSEC) + 1 : 0;
}

/* Waits for keys, answers, signals and the next period. Return: false: something is wrong. */
static bool screen_wait(struct screen *w)
{
        struct top_session *s = w->session;
        bool writing = buffer_size(&s->link.out) > 0;
        struct pollfd p[] = { { .fd = STDIN_FILENO, .events = POLLIN },
                              { .fd = s->link.fd, .events = (short)(POLLIN | (writing ? POLLOUT : 0)) },
                              { .fd = w->signals, .events = POLLIN } };
        int key;

        if (poll(p, 3, screen_poll_ms(w)) < 0)
                return true; /* a signal: the screen is drawn anew */
        if (p[2].revents)
                screen_on_signal(w);
        if (p[0].revents & (POLLERR | POLLHUP))
                w->signal = SIGHUP; /* the terminal is gone */
        while (!w->signal && p[0].revents & POLLIN && (key = getch()) != ERR)
                screen_key(w, key);
        if (p[1].revents) {
                s->fault = link_pump(&s->link, 0, -1);
                s->fault = s->fault == LINK_E_TIMEOUT ? 0 : s->fault;
        }
        return !s->fault && top_session_take(s);
}

static bool screen_run(struct screen *w)
{
        while (!w->done && !w->signal) {
                if (!w->paused)
                        top_session_ask(w->session);
                if (!screen_wait(w))
                        return false;
                if (w->session->n_looks)
                        screen_draw(w);
        }
        return true;
}

/* Whether the cursor can be put anywhere. */
static bool screen_moves(void)
{
        const char *move = tigetstr("cup");

        return move && (intptr_t)move != -1;
}

/* Return: 0, TOP_SCREEN_NONE. */
static int screen_begin(struct screen *w)
{
        sigset_t set;

        setlocale(LC_CTYPE, "");
        w->term = newterm(NULL, stdout, stdin);
        if (!w->term)
                return TOP_SCREEN_NONE;
        if (!screen_moves()) {
                endwin();
                delscreen(w->term);
                return TOP_SCREEN_NONE;
        }
        sigemptyset(&set);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGQUIT);
        sigaddset(&set, SIGWINCH);
        sigaddset(&set, SIGCONT);
        sigprocmask(SIG_BLOCK, &set, &w->blocked_before);
        w->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
        cbreak();
        noecho();
        keypad(stdscr, true);
        nodelay(stdscr, true);
        set_escdelay(50);
        curs_set(0);
        return 0;
}

static void screen_end(struct screen *w)
{
        endwin();
        delscreen(w->term);
        if (w->signals >= 0)
                close(w->signals);
        if (w->signal)
                signal(w->signal, SIG_DFL);
        sigprocmask(SIG_SETMASK, &w->blocked_before, NULL);
}

int top_screen(struct top_session *session)
{
        struct screen w = { .session = session,
                            .sort = { TOP_BY_RATE, TOP_BY_RATE, TOP_BY_QUEUED },
                            .panel = PANEL_WAITING };
        bool fine;
        int signal_number;

        if (screen_begin(&w)) {
                say_note(session->request, "this terminal can show no screen: a line for each period instead");
                return TOP_SCREEN_NONE;
        }
        fine = screen_run(&w);
        signal_number = w.signal;
        screen_end(&w);
        if (signal_number)
                raise(signal_number); /* the caller is told by what it ended */
        return fine ? CTL_OK : top_session_explain(session);
}
