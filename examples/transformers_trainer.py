"""The Trainer of Transformers on two ranks of torchrun: each `checkpoint-N` is a checkpoint.

    python -m torch.distributed.run --standalone --nproc-per-node 2 examples/transformers_trainer.py \
        /tmp/run-trainer /tmp/trainer --steps 8

Kill it, and run it again: it goes on where it was.
"""

import argparse

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

import ckptptr
from ckptptr.transformers import CheckpointCallback


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="of the checkpoints")
    parser.add_argument("folder", help="where the Trainer writes its checkpoint-N, on this machine")
    parser.add_argument("--steps", type=int, default=8)
    given = parser.parse_args()

    set_seed(5)
    tokens = torch.randint(0, 32, (64, 8))
    data = [{"input_ids": row, "labels": int(row[0] > row[1])} for row in tokens]
    config = BertConfig(
        vocab_size=32, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    # Makes the process group. So the checkpoints are opened after it: the ranks must know each other.
    args = TrainingArguments(
        given.folder, max_steps=given.steps, save_steps=2, logging_steps=1, use_cpu=True, report_to=[]
    )
    retention = ckptptr.Retention(keep_last=2, keep_best=1, best_by="loss")
    with ckptptr.open(given.url, retention=retention) as checkpoints:
        callback = CheckpointCallback(checkpoints)
        trainer = Trainer(
            BertForSequenceClassification(config), args, train_dataset=data, callbacks=[callback]
        )
        resumed = callback.resume(args.output_dir)
        trainer.train(resume_from_checkpoint=resumed)
        if args.process_index == 0:
            print(f"resumed from {resumed}, ended at step {trainer.state.global_step}")


if __name__ == "__main__":
    main()
