#define _GNU_SOURCE
#include "s3.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "objects.h"

#define XML "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define PAGE 1000        /* of a listing */
#define COMPARED 4096    /* bytes: the checksum of a larger body is believed, since it would cost CPU */
#define TIME "2026-11-28T15:00:00.000Z"

_Atomic long requests[KINDS];
static _Atomic long last_etag;

static void fail(Connection *c, const char *status, const char *code) {
    char text[300];
    snprintf(text, sizeof text, XML "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code);
    answer(c, status, "Content-Type: application/xml\r\n", text);
}

static void new_etag(char *out) { sprintf(out, "%031lx0-1", ++last_etag); }

/* ---- writing */

/* Whether a small body has another CRC64NVME than was sent with it: a client may ask that of a server. */
static int differs(Connection *c, const char *body, size_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char sent[80], text[13] = {0}, bytes[9] = {0}, *out = text;
    if (size > COMPARED || !header(c, "x-amz-checksum-crc64nvme", sent, sizeof sent)) return 0;
    uint64_t crc = ~0ull;
    for (size_t i = 0; i < size; i++) {
        crc ^= (unsigned char)body[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x9a6c9329ac4bc9b5ull : 0);
    }
    for (int i = 0; i < 8; i++) bytes[i] = ~crc >> (56 - 8 * i);
    for (int i = 0; i < 9; i += 3) {
        uint32_t three = (uint8_t)bytes[i] << 16 | (uint8_t)bytes[i + 1] << 8 | (uint8_t)bytes[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6) *out++ = digits[three >> shift & 63];
    }
    text[11] = '=';
    return strcmp(text, sent) != 0;
}

static void echo_checksums(Connection *c, char *out) {
    static const char *kinds[] = {"crc32", "crc32c", "crc64nvme", "sha1", "sha256"};
    char name[40], value[80];
    *out = 0;
    for (int i = 0; i < 5; i++) {
        sprintf(name, "x-amz-checksum-%s", kinds[i]);
        if (header(c, name, value, sizeof value)) out += sprintf(out, "%s: %s\r\n", name, value);
    }
}

/* The body, into the arena. The connection ends where it breaks off. */
static int receive(Connection *c, Content *content) {
    size_t size = declared_length(c), got = 0;
    pthread_mutex_lock(&lock);
    Blob *blob = blob_new(size);
    pthread_mutex_unlock(&lock);
    if (!blob) { fprintf(stderr, "the memory of the server is full\n"); exit(1); }
    for (ssize_t more = 1; got < size && more > 0; got += more > 0 ? more : 0)
        more = read_body(c, arena + blob->at + got, size - got);
    skip_body(c);
    bytes_in += got;
    *content = content_of(blob, size);
    return got == size ? 0 : -1;
}

/* The source of a copy; the caller holds `lock`. */
static int source_of(Connection *c, Content *content) {
    char source[KEY], range[64];
    header(c, "x-amz-copy-source", source, sizeof source);
    unquote(source);
    Object *object = object_find(source + (*source == '/'));
    if (!object) return -1;
    size_t from = 0, length = object->content.size;
    if (header(c, "x-amz-copy-source-range", range, sizeof range)) {
        from = strtoul(range + strlen("bytes="), NULL, 10);
        length = strtoul(strchr(range, '-') + 1, NULL, 10) + 1 - from;
    }
    *content = content_slice(object->content, from, length);
    return 0;
}

static int is_refused(Connection *c, Object *object) {
    char text[64];
    if (header(c, "If-None-Match", text, sizeof text)) return object != NULL;
    if (!header(c, "If-Match", text, sizeof text)) return 0;
    return !object || strncmp(text + (*text == '"'), object->etag, strlen(object->etag));
}

static void put(Connection *c) {
    char id[32], number[16], source[8], etag[48], sums[500], headers[700], text[400] = "";
    const char *status = NULL, *code = NULL;
    Content content = {0};
    int is_part = argument(c, "uploadId", id, sizeof id);
    int is_copy = header(c, "x-amz-copy-source", source, sizeof source);
    argument(c, "partNumber", number, sizeof number);
    requests[is_copy ? COPY : is_part ? PART : PUT]++;
    if (is_copy) {
        skip_body(c);
    } else if (receive(c, &content)) {
        c->is_last = 1;
        status = "400 Bad Request", code = "IncompleteBody";
    } else if (content.count && differs(c, arena + content.pieces->blob->at, content.size)) {
        status = "400 Bad Request", code = "BadDigest";
    }
    new_etag(etag);
    pthread_mutex_lock(&lock);
    if (is_copy && source_of(c, &content)) status = "404 Not Found", code = "NoSuchKey";
    Upload *upload = is_part ? upload_find(atol(id)) : NULL;
    if (!status && is_part && !upload) status = "404 Not Found", code = "NoSuchUpload";
    if (!status && !is_part && is_refused(c, object_find(c->key)))
        status = "412 Precondition Failed", code = "PreconditionFailed";
    if (status) content_drop(content);
    else if (is_part) upload_part(upload, atoi(number), content);
    else object_put(c->key, content, etag);
    pthread_mutex_unlock(&lock);
    if (status) { fail(c, status, code); return; }
    echo_checksums(c, sums);
    snprintf(headers, sizeof headers, "ETag: \"%s\"\r\n%s", etag, sums);
    const char *result = is_part ? "CopyPartResult" : "CopyObjectResult";
    if (is_copy)
        snprintf(text, sizeof text, XML "<%s><ETag>&quot;%s&quot;</ETag><LastModified>" TIME "</LastModified></%s>",
                 result, etag, result);
    answer(c, "200 OK", headers, text);
}

static void create(Connection *c) {
    char algorithm[32], headers[128] = "", text[KEY + 400], *path = strchr(c->key, '/');
    skip_body(c);
    requests[CREATE]++;
    pthread_mutex_lock(&lock);
    long id = upload_new()->id;
    pthread_mutex_unlock(&lock);
    if (header(c, "x-amz-checksum-algorithm", algorithm, sizeof algorithm))
        snprintf(headers, sizeof headers, "x-amz-checksum-algorithm: %s\r\n", algorithm);
    snprintf(text, sizeof text,
             XML "<InitiateMultipartUploadResult><Bucket>%.*s</Bucket><Key>%s</Key><UploadId>%ld</UploadId>"
             "</InitiateMultipartUploadResult>", (int)(path - c->key), c->key, path + 1, id);
    answer(c, "200 OK", headers, text);
}

static void complete(Connection *c, long id) {
    char *body = text_body(c), etag[48], text[KEY + 400], *path = strchr(c->key, '/');
    const char *status = NULL, *code = NULL;
    Content whole = {0};
    new_etag(etag);
    requests[COMPLETE]++;
    pthread_mutex_lock(&lock);
    Upload *upload = upload_find(id);
    if (!upload) status = "404 Not Found", code = "NoSuchUpload";
    else if (is_refused(c, object_find(c->key))) status = "412 Precondition Failed", code = "PreconditionFailed";
    for (char *each = body; !status && (each = strstr(each, "<PartNumber>"));) {
        int number = atoi(each += strlen("<PartNumber>"));
        if (number >= upload->room || !upload->parts[number].count) status = "400 Bad Request", code = "InvalidPart";
        else content_append(&whole, upload->parts[number]);
    }
    if (status) content_drop(whole);
    else object_put(c->key, whole, etag);
    if (!status) upload_forget(upload);
    pthread_mutex_unlock(&lock);
    free(body);
    if (status) { fail(c, status, code); return; }
    snprintf(text, sizeof text,
             XML "<CompleteMultipartUploadResult><Location>x</Location><Bucket>%.*s</Bucket><Key>%s</Key>"
             "<ETag>&quot;%s&quot;</ETag></CompleteMultipartUploadResult>",
             (int)(path - c->key), c->key, path + 1, etag);
    answer(c, "200 OK", "", text);
}

static void delete_many(Connection *c) {
    char key[KEY + 300], *body = text_body(c), *text = malloc(2 * strlen(body) + 400), *out = text;
    size_t bucket = strcspn(c->key, "/");
    requests[DELETE]++;
    out += sprintf(out, XML "<DeleteResult>");
    pthread_mutex_lock(&lock);
    for (char *each = body; (each = strstr(each, "<Key>"));) {
        each += strlen("<Key>");
        int length = strstr(each, "</Key>") - each;
        snprintf(key, sizeof key, "%.*s/%.*s", (int)bucket, c->key, length, each);
        object_delete(key);
        if (!strstr(body, "<Quiet>true")) out += sprintf(out, "<Deleted><Key>%.*s</Key></Deleted>", length, each);
    }
    pthread_mutex_unlock(&lock);
    sprintf(out, "</DeleteResult>");
    answer(c, "200 OK", "", text);
    free(text);
    free(body);
}

static void delete_one(Connection *c) {
    char id[32];
    int is_upload = argument(c, "uploadId", id, sizeof id);
    requests[is_upload ? ABORT : DELETE]++;
    pthread_mutex_lock(&lock);
    Upload *upload = is_upload ? upload_find(atol(id)) : NULL;
    if (upload) upload_forget(upload);
    if (!is_upload) object_delete(c->key);
    pthread_mutex_unlock(&lock);
    answer(c, "204 No Content", "", "");
}

/* ---- reading */

/* The span of `bytes=1-2`, `bytes=1-` or `bytes=-2` in so many bytes; -1 where there is none. */
static int span_of(const char *range, size_t size, size_t *from, size_t *end) {
    char *rest;
    range += strlen("bytes=");
    if (*range == '-') {
        size_t last = strtoul(range + 1, NULL, 10);
        *from = last > size ? 0 : size - last;
        *end = size;
    } else {
        *from = strtoul(range, &rest, 10);
        *end = rest[1] ? strtoul(rest + 1, NULL, 10) + 1 : size;
        if (*end > size) *end = size;
    }
    return *from < *end ? 0 : -1;
}

static void get(Connection *c) {
    char range[64], headers[500], span[128] = "";
    requests[strcmp(c->method, "HEAD") ? GET : HEAD]++;
    pthread_mutex_lock(&lock);
    Object *object = object_find(c->key);
    size_t size = object ? object->content.size : 0, from = 0, end = size;
    int is_range = header(c, "Range", range, sizeof range);
    const char *code = !object ? "NoSuchKey" : is_range && span_of(range, size, &from, &end) ? "InvalidRange" : NULL;
    if (code) {
        pthread_mutex_unlock(&lock);
        fail(c, object ? "416 Range Not Satisfiable" : "404 Not Found", code);
        return;
    }
    Content content = content_slice(object->content, from, end - from);
    if (is_range) sprintf(span, "Content-Range: bytes %zu-%zu/%zu\r\n", from, end - 1, size);
    snprintf(headers, sizeof headers,
             "Last-Modified: Sat, 28 Nov 2026 15:00:00 GMT\r\nETag: \"%s\"\r\nAccept-Ranges: bytes\r\n"
             "Content-Type: binary/octet-stream\r\n%s", object->etag, span);
    pthread_mutex_unlock(&lock);
    answer_content(c, is_range ? "206 Partial Content" : "200 OK", headers, content);
    pthread_mutex_lock(&lock);
    content_drop(content);
    pthread_mutex_unlock(&lock);
}

static void list(Connection *c) {
    char prefix[KEY], delimiter[16], behind[KEY], most[16], from[KEY + 300], last[KEY] = "";
    size_t bucket = strcspn(c->key, "/");
    c->key[bucket] = 0;
    argument(c, "prefix", prefix, sizeof prefix);
    argument(c, "delimiter", delimiter, sizeof delimiter);
    if (!argument(c, "continuation-token", behind, sizeof behind)) argument(c, "start-after", behind, sizeof behind);
    long limit = argument(c, "max-keys", most, sizeof most) ? atol(most) : PAGE, found = 0, count;
    if (limit > PAGE) limit = PAGE;
    char *text = malloc((limit + 2) * (KEY + 400)), *out = text;
    out += sprintf(out, XML "<ListBucketResult><Name>%s</Name><Prefix>%s</Prefix>", c->key, prefix);
    snprintf(from, sizeof from, "%s/%s", c->key, strcmp(behind, prefix) > 0 ? behind : prefix);
    requests[LIST]++;
    pthread_mutex_lock(&lock);
    Object **each = objects_from(from, &count);
    for (; count && found < limit; each++, count--) {
        char *key = (*each)->key + bucket + 1;
        if (strncmp((*each)->key, c->key, bucket) || (*each)->key[bucket] != '/') break;
        if (strncmp(key, prefix, strlen(prefix))) break;
        char *cut = *delimiter ? strchr(key + strlen(prefix), *delimiter) : NULL;
        size_t length = cut ? (size_t)(cut + 1 - key) : strlen(key);
        int is_named = *last && cut && !strncmp(key, last, length) && !last[length];
        if (is_named || (*behind && (strcmp(key, behind) <= 0 || (cut && !strncmp(key, behind, length))))) continue;
        snprintf(last, sizeof last, "%.*s", (int)length, key);
        found++;
        if (cut)
            out += sprintf(out, "<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>", last);
        else
            out += sprintf(out, "<Contents><Key>%s</Key><LastModified>" TIME "</LastModified><ETag>&quot;%s&quot;</ETag>"
                           "<Size>%zu</Size><StorageClass>STANDARD</StorageClass></Contents>",
                           key, (*each)->etag, (*each)->content.size);
    }
    int has_more = count && found == limit && !strncmp((*each)->key, c->key, bucket) && (*each)->key[bucket] == '/' &&
                   !strncmp((*each)->key + bucket + 1, prefix, strlen(prefix));
    pthread_mutex_unlock(&lock);
    out += sprintf(out, "<KeyCount>%ld</KeyCount><MaxKeys>%ld</MaxKeys><IsTruncated>%s</IsTruncated>",
                   found, limit, has_more ? "true" : "false");
    if (has_more) out += sprintf(out, "<NextContinuationToken>%s</NextContinuationToken>", last);
    sprintf(out, "</ListBucketResult>");
    answer(c, "200 OK", "Content-Type: application/xml\r\n", text);
    free(text);
}

/* ---- which request it is */

/* Of a bucket: it is always there, and has no unfinished uploads. */
static void serve_bucket(Connection *c) {
    char text[8];
    if (!strcmp(c->method, "POST") && argument(c, "delete", text, sizeof text)) { delete_many(c); return; }
    skip_body(c);
    if (!strcmp(c->method, "GET") && !argument(c, "location", text, sizeof text) &&
        !argument(c, "uploads", text, sizeof text)) { list(c); return; }
    requests[OTHER]++;
    if (argument(c, "uploads", text, sizeof text))
        answer(c, "200 OK", "", XML "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>"
               "</ListMultipartUploadsResult>");
    else if (argument(c, "location", text, sizeof text))
        answer(c, "200 OK", "", XML "<LocationConstraint>us-east-1</LocationConstraint>");
    else
        answer(c, "200 OK", "x-amz-bucket-region: us-east-1\r\n", "");
}

void serve(Connection *c) {
    char id[32];
    if (!strchr(c->key, '/')) serve_bucket(c);
    else if (!strcmp(c->method, "PUT")) put(c);
    else if (!strcmp(c->method, "POST") && argument(c, "uploads", id, sizeof id)) create(c);
    else if (!strcmp(c->method, "POST") && argument(c, "uploadId", id, sizeof id)) complete(c, atol(id));
    else if (!strcmp(c->method, "DELETE")) delete_one(c);
    else if (!strcmp(c->method, "GET") || !strcmp(c->method, "HEAD")) get(c);
    else { skip_body(c); fail(c, "405 Method Not Allowed", "MethodNotAllowed"); }
}
