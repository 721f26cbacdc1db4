/* The least that a client of S3 can do on this machine: the kernel moves the bytes of files to and from the sockets,
 * and nothing is digested, signed or verified. It is the bound that other clients are held against.
 *
 *     reference save|restore PORT BUCKET/PREFIX THREADS FILE-OR-FOLDER    (restore: a folder) */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define PART (8ul << 20)
#define BUFFER (1 << 20)
#define MIN(a, b) ((a) < (b) ? (a) : (b))

typedef struct {
    char name[256], upload[64];
    size_t size;
    int parts;
    _Atomic int left;  /* parts that are not there yet */
    pthread_mutex_t creating;
} File;

typedef struct {
    int socket;
    char buffer[BUFFER + 1];
    size_t have, used;
} Connection;

static char *bucket, *prefix, *folder;
static int port, is_save, count;
static File *files;
static long jobs;
static struct Job { File *file; int part; } *job;
static _Atomic long next_job;

static void fail(const char *what) { perror(what); exit(1); }

static Connection *connected(void) {
    Connection *c = malloc(sizeof *c);
    int yes = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    c->socket = socket(AF_INET, SOCK_STREAM, 0);
    c->have = c->used = 0;
    setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(c->socket, (struct sockaddr *)&address, sizeof address)) fail("connect");
    return c;
}

static void send_head(Connection *c, const char *method, const char *path, size_t length, const char *headers) {
    char head[2000];
    int size = snprintf(head, sizeof head, "%s /%s%s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n%s\r\n", method, bucket,
                        path, length, headers);
    if (send(c->socket, head, size, MSG_NOSIGNAL | (length ? MSG_MORE : 0)) != size) fail("send");
}

/* Reads the head of an answer; returns the length of the body, of which some is in the buffer. */
static size_t answered(Connection *c) {
    char *end;
    memmove(c->buffer, c->buffer + c->used, c->have -= c->used);
    c->used = 0;
    while (c->buffer[c->have] = 0, !(end = strstr(c->buffer, "\r\n\r\n"))) {
        ssize_t got = recv(c->socket, c->buffer + c->have, BUFFER - c->have, 0);
        if (got <= 0) fail("receive");
        c->have += got;
    }
    if (strncmp(c->buffer, "HTTP/1.1 20", 11)) { fprintf(stderr, "%.*s\n", (int)(end - c->buffer), c->buffer); exit(1); }
    c->used = end + 4 - c->buffer;
    return strtoul(strstr(c->buffer, "Content-Length: ") + 16, NULL, 10);
}

static char *text_of(Connection *c) {
    size_t length = answered(c), got = MIN(length, c->have - c->used);
    char *text = malloc(length + 1);
    memcpy(text, c->buffer + c->used, got);
    c->used += got;
    for (ssize_t more; got < length; got += more)
        if ((more = recv(c->socket, text + got, length - got, 0)) <= 0) fail("receive");
    text[length] = 0;
    return text;
}

static char *path_of(File *file) {
    char *path;
    struct stat found;
    int is_file = !stat(folder, &found) && S_ISREG(found.st_mode);
    if (asprintf(&path, is_file ? "%s" : "%s/%s", folder, file->name) < 0) fail("memory");
    return path;
}

static void complete(Connection *c, File *file) {
    char path[600], *body = malloc(100 * file->parts + 100), *out = body;
    out += sprintf(out, "<CompleteMultipartUpload>");
    for (int part = 1; part <= file->parts; part++)
        out += sprintf(out, "<Part><PartNumber>%d</PartNumber></Part>", part);
    out += sprintf(out, "</CompleteMultipartUpload>");
    snprintf(path, sizeof path, "/%s/%s?uploadId=%s", prefix, file->name, file->upload);
    send_head(c, "POST", path, out - body, "");
    if (send(c->socket, body, out - body, MSG_NOSIGNAL) != out - body) fail("send");
    free(text_of(c));
    free(body);
}

static void create(Connection *c, File *file) {
    char path[600];
    pthread_mutex_lock(&file->creating);
    if (!*file->upload) {
        snprintf(path, sizeof path, "/%s/%s?uploads", prefix, file->name);
        send_head(c, "POST", path, 0, "");
        char *text = text_of(c);
        sscanf(strstr(text, "<UploadId>"), "<UploadId>%63[^<]", file->upload);
        free(text);
    }
    pthread_mutex_unlock(&file->creating);
}

static void save(Connection *c, File *file, int part) {
    char path[600], *local = path_of(file);
    int from = open(local, O_RDONLY), length = snprintf(path, sizeof path, "/%s/%s", prefix, file->name);
    off_t at = part * PART;
    size_t left = MIN(PART, file->size - at);
    if (from < 0) fail(local);
    if (file->parts > 1) {
        create(c, file);
        snprintf(path + length, sizeof path - length, "?partNumber=%d&uploadId=%s", part + 1, file->upload);
    }
    send_head(c, "PUT", path, left, "");
    for (ssize_t sent; left; left -= sent)
        if ((sent = sendfile(c->socket, from, &at, left)) <= 0) fail("sendfile");
    close(from);
    free(local);
    free(text_of(c));
    if (!--file->left && file->parts > 1) complete(c, file);
}

static void restore(Connection *c, File *file, int part) {
    static __thread int pipes[2];
    char path[600], range[100], *local = path_of(file);
    loff_t at = part * PART;
    size_t end = MIN(at + PART, file->size);
    int to = open(local, O_WRONLY | O_CREAT, 0666);
    if (to < 0) fail(local);
    if (!pipes[1] && (pipe(pipes) || fcntl(pipes[1], F_SETPIPE_SZ, BUFFER) < 0)) fail("pipe");
    snprintf(path, sizeof path, "/%s/%s", prefix, file->name);
    sprintf(range, "Range: bytes=%ld-%zu\r\n", (long)at, end - 1);
    send_head(c, "GET", path, 0, range);
    size_t left = answered(c), here = MIN(left, c->have - c->used);
    if (pwrite(to, c->buffer + c->used, here, at) != (ssize_t)here) fail("write");
    c->used += here;
    at += here;
    left -= here;
    while (left) {
        ssize_t got = splice(c->socket, NULL, pipes[1], NULL, MIN(left, BUFFER), SPLICE_F_MOVE);
        if (got <= 0) fail("splice");
        left -= got;
        for (ssize_t put; got; got -= put)
            if ((put = splice(pipes[0], NULL, to, &at, got, SPLICE_F_MOVE)) <= 0) fail("splice");
    }
    close(to);
    free(local);
}

static void *work(void *unused) {
    Connection *c = connected();
    for (long each; (each = next_job++) < jobs;) (is_save ? save : restore)(c, job[each].file, job[each].part);
    return unused;
}

static void add_file(const char *name, size_t size) {
    if (!(count & (count - 1))) files = realloc(files, sizeof *files * 2 * (count + 1));
    File *file = &files[count++];
    memset(file, 0, sizeof *file);
    snprintf(file->name, sizeof file->name, "%s", name);
    file->size = size;
    file->parts = file->left = size ? (size + PART - 1) / PART : 1;
    pthread_mutex_init(&file->creating, NULL);
    jobs += file->parts;
}

static void find_local(void) {
    struct stat found;
    DIR *all = opendir(folder);
    if (!all) {
        if (stat(folder, &found)) fail(folder);
        add_file(strrchr(folder, '/') + 1, found.st_size);
    }
    for (struct dirent *each; all && (each = readdir(all));)
        if (!fstatat(dirfd(all), each->d_name, &found, 0) && S_ISREG(found.st_mode)) add_file(each->d_name, found.st_size);
}

static void find_remote(void) {
    Connection *c = connected();
    char path[1200], name[600] = "";
    for (char *text = NULL; !text || strstr(text, "<IsTruncated>true"); ) {
        free(text);
        snprintf(path, sizeof path, "?list-type=2&prefix=%s/&start-after=%s", prefix, name);
        send_head(c, "GET", path, 0, "");
        text = text_of(c);
        for (char *each = text; (each = strstr(each, "<Key>"));) {
            size_t size;
            sscanf(each += 5, "%599[^<]", name);
            sscanf(strstr(each, "<Size>"), "<Size>%zu", &size);
            add_file(name + strlen(prefix) + 1, size);
        }
    }
}

int main(int number, char **arguments) {
    if (number != 6) { fprintf(stderr, "usage: reference save|restore PORT BUCKET/PREFIX THREADS PATH\n"); return 2; }
    is_save = !strcmp(arguments[1], "save");
    port = atoi(arguments[2]);
    prefix = arguments[3];
    bucket = strsep(&prefix, "/");
    folder = arguments[5];
    if (is_save) find_local(); else find_remote();
    job = malloc(sizeof *job * (jobs + 1));
    jobs = 0;
    for (int i = 0; i < count; i++)
        for (int part = 0; part < files[i].parts; part++) job[jobs++] = (struct Job){&files[i], part};
    int threads = MIN(atoi(arguments[4]), jobs);
    pthread_t running[threads];
    for (int i = 0; i < threads; i++) pthread_create(&running[i], NULL, work, NULL);
    for (int i = 0; i < threads; i++) pthread_join(running[i], NULL);
    return 0;
}
