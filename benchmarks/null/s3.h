/* The requests of S3 that clients send, with paths as `/bucket/key`. Signatures are not looked at. */
#pragma once
#include "http.h"

enum Kind { GET, HEAD, PUT, DELETE, LIST, CREATE, PART, COMPLETE, ABORT, COPY, OTHER, KINDS };
extern _Atomic long requests[KINDS];

void serve(Connection *c);  /* answers the request whose head was read */
