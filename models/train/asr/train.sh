#!/bin/sh
# Makes models/pack/earshot-en from nothing but Debian packages: texts, pronunciations, synthetic speech, the network,
# the 3-gram. train.sh WORK MINUTES: WORK is scratch (2 GB), MINUTES how long the network learns (45 on two cores).
# The weights of the search were chosen on the dev recordings with models/train/asr/wer.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../../..
work=$1
minutes=$2
pack=${PACK:-$root/models/pack/earshot-en}
python=${PYTHON:-python3}
hidden=$root/sample/truth

mkdir -p "$work"
cd "$here"
$python texts.py --work "$work" --exclude "$hidden"
$python vocabulary.py --work "$work"
$python pronounce.py --work "$work"
$python synthesise.py --work "$work" held
speaking=$(date -u -d "+${SPEAKING:-10} minutes" +%H:%M)
$python synthesise.py --work "$work" train --job 0 --jobs 2 --until "$speaking" &
$python synthesise.py --work "$work" train --job 1 --jobs 2 --until "$speaking"
wait
LD_PRELOAD=libtcmalloc_minimal.so.4 $python train.py --work "$work" --exclude "$hidden" \
  --until "$(date -u -d "+$minutes minutes" +%H:%M)"
$python ngram.py --work "$work" --out "$pack" --exclude "$hidden"
$python export.py --work "$work" --out "$pack"
$python posteriors.py --work "$work" --model "$pack"
cd "$root"
go run ./models/train/asr/wer -model "$pack" -evidence "$work/evidence.jsonl" "$work"/posteriors-dev-*.bin
$python models/train/asr/calibrate.py "$work/evidence.jsonl" --model "$pack"
go run ./models/train/asr/wer -model "$pack" "$work"/posteriors-*.bin
