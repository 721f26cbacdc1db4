/* The objects of all buckets, and the uploads in parts. A key is `bucket/path`. The caller holds `lock`. */
#pragma once
#include "arena.h"

typedef struct Object {
    struct Object *next;
    char *key, etag[48];
    Content content;
} Object;

typedef struct Upload {
    struct Upload *next;
    long id;
    int room;
    Content *parts;  /* by number */
} Upload;

Object *object_find(const char *key);
void object_put(const char *key, Content content, const char *etag);  /* takes the content */
void object_delete(const char *key);
Object **objects_from(const char *key, long *count);  /* in order, the first not before `key` */
void objects_reset(void);

Upload *upload_new(void);
Upload *upload_find(long id);
void upload_part(Upload *upload, int number, Content content);  /* takes the content */
void upload_forget(Upload *upload);
