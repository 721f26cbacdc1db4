#!/usr/bin/env bash
# 3 a.m., an execution fails, and a checkpoint is to blame. Nothing here deletes anything.
#
#     bash examples/recover.sh look     NODE        what is there, what is wrong, what the next attempt does
#     bash examples/recover.sh back     NODE        one checkpoint back
#     bash examples/recover.sh use      NODE ID     that checkpoint
#     bash examples/recover.sh fresh    NODE        start from nothing; the checkpoints stay
#     bash examples/recover.sh by-hand  NODE        without ckptptr: a copy command and a text editor
#
# NODE is the folder of LATEST, s3://bucket/data/_ckptptr/<project>/<domain>/<execution>/<node>; with
# ckptptr the --checkpoint-path in a pod's arguments will do. The next attempt that starts obeys, once; no
# attempt that runs meanwhile moves LATEST. So: choose here, then let Flyte retry, or recover the execution.
set -euo pipefail

COPY=${COPY:-aws s3 cp} # gcloud storage cp; for Azure: azcopy copy
EDITOR=${EDITOR:-vi}

what=${1:?look, back, use, fresh or by-hand}
node=${2:?which node?}

case $what in
look)
    ckptptr doctor "$node" || [ $? -eq 9 ] # 9: it found a problem, and printed what to type
    ckptptr log "$node"                    # all that can be chosen
    ;;
back)
    ckptptr rollback "$node" # prints how to undo it
    ckptptr show "$node"     # what the next attempt restores now, and why
    ;;
use)
    ckptptr verify --deep "$node" "${3:?which checkpoint? ckptptr log $node}" # every byte of it, first
    ckptptr use "$node" "$3"
    ckptptr show "$node"
    ;;
fresh)
    ckptptr use "$node" none --yes
    ;;
by-hand)
    # LATEST is text. Put one that "history" lists in the place of "checkpoint", and leave the rest; or
    # put in one line with nothing but the path of a manifest, or the word none.
    folder=$(mktemp -d)
    $COPY "$node/LATEST" "$folder/LATEST"
    cp "$folder/LATEST" "$folder/LATEST.before"
    $EDITOR "$folder/LATEST"
    if diff "$folder/LATEST.before" "$folder/LATEST"; then
        echo "nothing was changed"
    else
        $COPY "$folder/LATEST" "$node/LATEST"
        echo "what it was before: $folder/LATEST.before"
    fi
    ;;
*)
    echo "$what: not one of look, back, use, fresh and by-hand" >&2
    exit 2
    ;;
esac
