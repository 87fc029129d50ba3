#!/bin/sh
# Trains every built-in model again: all.sh WORK [MINUTES]. WORK is scratch (16 GB), MINUTES how long the recogniser
# learns (45); the rest takes about three hours on two cores. Needs the Debian and PyPI packages that the cards name.
set -eu
cd "$(dirname "$0")"
work=$(mkdir -p "${1:?all.sh WORK [MINUTES]: WORK is a folder for scratch data}" && cd "$1" && pwd)
python=${PYTHON:-python3}
pack=$PWD/../pack

$python common/corpus.py "$work/corpus"
$python common/corpus.py "$work/long" --enough 75 --seed 41 --music 0
$python common/scenes.py "$work/corpus" "$work/scenes" --train 5000
$python langid/windows.py "$work/long" "$work/windows" --beds "$work/corpus"
$python langid/windows.py "$work/corpus" "$work/windows-short" --splits train
$python common/corpus.py "$work/foreign" --enough 75 --scale 2.25 --seed 91 --splits train --foreign 3
$python langid/windows.py "$work/foreign" "$work/windows-foreign" --splits train --passes 1
$python vad/train.py "$work/scenes" "$work/vad"
$python sound/train.py "$work/scenes" "$work/sound" --minutes 30
$python langid/train.py "$work/windows" "$work/windows-short" "$work/windows-foreign" "$work/langid" --minutes 100 --und .5
for model in vad sound langid; do
  $python common/pack.py $model "$work/$model" "$pack/earshot-$model"
done
$python variants.py "$pack/earshot-sound" --precision int8 --calibrate "$work/scenes/train.npz" --write
$python sound/evaluate.py "$pack/earshot-sound" "$work/scenes" --graph model.int8.onnx # for the card's "In int8"
$python vad/evaluate.py "$pack/earshot-vad" "$work/corpus" >"$work/vad/measured.json"
$python common/pack.py vad "$work/vad" "$pack/earshot-vad"

$python topic/train.py --out "$work/topics"
$python topic/export.py "$work/topics"
$python passages/train.py "$pack"
$python ads/train.py --pack "$pack/earshot-ads"
$python punctuation/train.py --pack "$pack/earshot-punctuation" --net "$work/punctuation.pt"
$python highlight/train.py --pack "$pack/earshot-highlight"
asr/train.sh "$work/asr" "${2:-45}"
