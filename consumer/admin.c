/* admin.c: see admin.h. libmicrohttpd does the HTTP, one thread serves all clients; their
 * number and patience are bounded, so that a client can harm nobody but other clients.
 *
 * Alive: the reader goes round. Ready: the group has spoken, and Postgres and Kafka
 * answered when they were asked last. A halted partition does not make the process
 * unready: the others go on, and no restart would help it. */
#include "consumer/admin.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <microhttpd.h>

#include "base/log.h"
#include "base/must.h"
#include "consumer/metrics.h"
#include "version.h"

enum {
    CLIENTS_MAX = 32,
    PATIENCE_S = 10,
    SILENCE_MAX_MS = 60000, /* the reader polls every 30 s at least */
    PARTITIONS_MAX = 4096,
    HOST_MAX = 256,
    BACKLOG = 16
};

struct admin {
    struct MHD_Daemon *daemon;
    const struct config_values *values;
};

static const char build_labels[] =
    "version=\"" POSTONCE_VERSION "\",commit=\"" POSTONCE_COMMIT "\"";

/* --- pages --- */

/* Writes the page and returns the HTTP status. */
typedef unsigned page_writer(const struct admin *admin, FILE *out);

static unsigned write_metrics(const struct admin *admin, FILE *out)
{
    (void)admin;
    metrics_print(out, build_labels);
    return MHD_HTTP_OK;
}

static unsigned write_livez(const struct admin *admin, FILE *out)
{
    int64_t silence_ms = metrics_silence_ms();
    (void)admin;
    if (silence_ms <= SILENCE_MAX_MS) {
        fputs("alive\n", out);
        return MHD_HTTP_OK;
    }
    fprintf(out, "the reader has not gone round for %" PRId64 " s\n", silence_ms / 1000);
    return MHD_HTTP_SERVICE_UNAVAILABLE;
}

/* NULL: ready. */
static const char *unready(void)
{
    if (!metrics_is_up(METRICS_SIDE_POSTGRES))
        return "PostgreSQL is not reachable";
    if (!metrics_is_up(METRICS_SIDE_KAFKA))
        return "Kafka is not reachable";
    return metrics_is_assigned() ? NULL : "the group has not assigned partitions yet";
}

static unsigned write_readyz(const struct admin *admin, FILE *out)
{
    const char *why = unready();
    (void)admin;
    fprintf(out, "%s\n", why == NULL ? "ready" : why);
    return why == NULL ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
}

/* Group, instance and topic are names of visible ASCII; quotes and backslashes remain. */
static void write_name(FILE *out, const char *name, const char *value)
{
    fprintf(out, "\"%s\":\"", name);
    for (; *value != '\0'; value++) {
        if (*value == '"' || *value == '\\')
            fputc('\\', out);
        fputc(*value, out);
    }
    fputs("\",", out);
}

static void write_partition(FILE *out, const struct metrics_partition *partition)
{
    fprintf(out,
            "{\"partition\":%" PRId32 ",\"next_offset\":%" PRId64 ",\"lag\":%" PRId64
            ",\"halted\":%s",
            partition->partition, partition->next_offset, partition->lag,
            partition->halted == HALT_NONE ? "false" : "true");
    if (partition->halted != HALT_NONE)
        fprintf(out, ",\"halt_offset\":%" PRId64 ",\"reason\":\"%s\",\"detail\":\"%s\"",
                partition->halt_offset, position_halt_name(partition->halted),
                position_halt_sentence(partition->halted));
    fputc('}', out);
}

static void write_partitions(FILE *out)
{
    struct metrics_partition *partitions = calloc(PARTITIONS_MAX, sizeof *partitions);
    MUST(partitions != NULL);
    size_t count = metrics_partitions(partitions, PARTITIONS_MAX);
    fputs("\"partitions\":[", out);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            fputc(',', out);
        write_partition(out, &partitions[i]);
    }
    fputc(']', out);
    free(partitions);
}

static unsigned write_status(const struct admin *admin, FILE *out)
{
    const char *why = unready();
    fputc('{', out);
    write_name(out, "version", POSTONCE_VERSION);
    write_name(out, "commit", POSTONCE_COMMIT);
    write_name(out, "group", admin->values->group);
    write_name(out, "instance", admin->values->instance);
    write_name(out, "topic", admin->values->topic_commands);
    fprintf(out, "\"ready\":%s,", why == NULL ? "true" : "false");
    if (why != NULL)
        write_name(out, "detail", why);
    fprintf(out, "\"postgres_up\":%s,\"kafka_up\":%s,",
            metrics_is_up(METRICS_SIDE_POSTGRES) ? "true" : "false",
            metrics_is_up(METRICS_SIDE_KAFKA) ? "true" : "false");
    write_partitions(out);
    fputs("}\n", out);
    return MHD_HTTP_OK;
}

static const struct page {
    const char *path, *type;
    page_writer *write;
} pages[] = {
    {"/metrics", "text/plain; version=0.0.4; charset=utf-8", write_metrics},
    {"/livez", "text/plain; charset=utf-8", write_livez},
    {"/readyz", "text/plain; charset=utf-8", write_readyz},
    {"/status", "application/json", write_status},
};

static const struct page *page_of(const char *path)
{
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        if (strcmp(pages[i].path, path) == 0)
            return &pages[i];
    return NULL;
}

/* --- answers --- */

struct answer_page {
    unsigned status;
    const char *type;
    char *text; /* from open_memstream: freed by libmicrohttpd */
    size_t size;
};

static enum MHD_Result send_page(struct MHD_Connection *connection,
                                 const struct answer_page *page)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(page->size, page->text, MHD_RESPMEM_MUST_FREE);
    if (response == NULL)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, page->type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (page->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result result = MHD_queue_response(connection, page->status, response);
    MHD_destroy_response(response);
    return result;
}

static bool is_read(const char *method)
{
    return strcmp(method, MHD_HTTP_METHOD_GET) == 0 ||
           strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
}

static unsigned write_page(const struct admin *admin, const char *method,
                           const struct page *page, FILE *out)
{
    if (page == NULL) {
        fputs("there are /metrics, /livez, /readyz and /status\n", out);
        return MHD_HTTP_NOT_FOUND;
    }
    if (is_read(method))
        return page->write(admin, out);
    fputs("GET or HEAD\n", out);
    return MHD_HTTP_METHOD_NOT_ALLOWED;
}

/* libmicrohttpd decides how many parameters it has. */
/* NOLINTNEXTLINE(readability-function-size) */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
                                  const char *path, const char *method,
                                  const char *version, const char *upload,
                                  size_t *upload_size, void **state)
{
    const struct page *page = page_of(path);
    struct answer_page answer = {.type = page == NULL ? "text/plain; charset=utf-8"
                                                      : page->type};
    (void)version;
    (void)upload;
    if (*state == NULL) { /* the headers have come; what is uploaded is not wanted */
        *state = context;
        return MHD_YES;
    }
    if (*upload_size > 0) {
        *upload_size = 0;
        return MHD_YES;
    }
    FILE *out = open_memstream(&answer.text, &answer.size);
    MUST(out != NULL);
    answer.status = write_page(context, method, page, out);
    MUST(fclose(out) == 0);
    return send_page(connection, &answer);
}

/* --- listening --- */

/* HOST:PORT or [IPv6]:PORT, as config_table.c has checked. */
static void split(const char *listen_at, char host[HOST_MAX], const char **port)
{
    const char *colon = strrchr(listen_at, ':');
    MUST(colon != NULL);
    size_t size = (size_t)(colon - listen_at);
    bool bracketed = listen_at[0] == '[';
    snprintf(host, HOST_MAX, "%.*s", (int)(bracketed ? size - 2 : size),
             listen_at + bracketed);
    *port = colon + 1;
}

static int listen_on(const struct addrinfo *address)
{
    int on = 1;
    int descriptor = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return -1;
    if (setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(descriptor, address->ai_addr, address->ai_addrlen) == 0 &&
        listen(descriptor, BACKLOG) == 0)
        return descriptor;
    int reason = errno;
    close(descriptor);
    errno = reason;
    return -1;
}

/* The listening socket, or -1 and the sentence. */
static int listen_at(const char *address, char error[ADMIN_ERROR_MAX])
{
    char host[HOST_MAX];
    const char *port;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    split(address, host, &port);
    int status = getaddrinfo(host, port, &hints, &found);
    int descriptor = status == 0 ? listen_on(found) : -1;
    if (descriptor < 0)
        snprintf(error, ADMIN_ERROR_MAX,
                 "admin.listen=%s: cannot listen there: %s; expected a free HOST:PORT of "
                 "this machine, or nothing to be off",
                 address, status != 0 ? gai_strerror(status) : strerror(errno));
    if (found != NULL)
        freeaddrinfo(found);
    return descriptor;
}

static int64_t port_of(int descriptor)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    char port[8] = "0";
    int64_t number = 0;
    if (getsockname(descriptor, (struct sockaddr *)&address, &size) == 0 &&
        getnameinfo((struct sockaddr *)&address, size, NULL, 0, port, sizeof port,
                    NI_NUMERICSERV) == 0)
        for (const char *digit = port; *digit != '\0'; digit++)
            number = 10 * number + (*digit - '0');
    return number;
}

static struct admin *serve(const struct config_values *values, int descriptor)
{
    struct admin *admin = calloc(1, sizeof *admin);
    MUST(admin != NULL);
    admin->values = values;
    admin->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL,
                                     on_request, admin, MHD_OPTION_LISTEN_SOCKET,
                                     descriptor, MHD_OPTION_CONNECTION_LIMIT,
                                     (unsigned)CLIENTS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                                     (unsigned)PATIENCE_S, MHD_OPTION_END);
    MUST(admin->daemon != NULL);
    return admin;
}

bool admin_open(struct admin **admin, const struct config *config,
                char error[ADMIN_ERROR_MAX])
{
    const struct config_values *values = config_values(config);
    *admin = NULL;
    if (values->admin_listen[0] == '\0')
        return true;
    int descriptor = listen_at(values->admin_listen, error);
    if (descriptor < 0 && values->admin_listen_is_default) {
        log_note(LOG_WARNING, "admin_off", error);
        return true;
    }
    if (descriptor < 0)
        return false;
    *admin = serve(values, descriptor);
    log_event(LOG_INFO, "admin", "metrics and health are served",
              LOG_T("listen", values->admin_listen), LOG_I("port", port_of(descriptor)));
    return true;
}

void admin_close(struct admin *admin)
{
    if (admin == NULL)
        return;
    MHD_stop_daemon(admin->daemon);
    free(admin);
}
