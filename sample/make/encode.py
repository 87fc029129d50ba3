"""Sets the loudness of a track and writes it in a podcast's formats, through ffmpeg."""
import re
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import soundfile
from scipy.ndimage import minimum_filter1d, uniform_filter1d

EXACT = ["-fflags", "+bitexact", "-flags", "+bitexact", "-threads", "1"]
CODECS = {
    "mp3": ["-c:a", "libmp3lame", "-b:a", "96k"],
    "mp3-cover": ["-c:a", "libmp3lame", "-b:a", "96k", "-c:v", "copy", "-id3v2_version", "3", "-disposition:v", "attached_pic"],
    "m4a": ["-c:a", "aac", "-b:a", "80k", "-movflags", "+faststart"],
    "m4a-index-last": ["-c:a", "aac", "-b:a", "80k"],
    "vorbis": ["-c:a", "libvorbis", "-q:a", "3"],
    "opus": ["-c:a", "libopus", "-b:a", "48k"],
    "flac": ["-c:a", "flac", "-compression_level", "12", "-sample_fmt", "s16"],
    "wav": ["-c:a", "pcm_s16le"],
}


def ffmpeg(*arguments):
    """Runs the pinned ffmpeg; gives what it said."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr


def loudness(path):
    """The integrated loudness (LUFS) and true peak (dBTP) of a file, by ffmpeg's ebur128."""
    said = ffmpeg("-i", path, "-map", "0:a", "-af", "ebur128=peak=true:framelog=quiet", "-f", "null", "-")
    return float(re.findall(r"I:\s+(-?[\d.]+) LUFS", said)[-1]), float(re.findall(r"Peak:\s+(-?[\d.]+|-inf) dBFS", said)[-1])


def limit(track, rate, ceiling):
    """track [channels, frames] held below ceiling by a gain that looks 5 ms ahead."""
    reach = rate // 200
    gain = np.minimum(1, ceiling / np.maximum(np.abs(track).max(axis=0), 1e-9))
    return track * uniform_filter1d(minimum_filter1d(gain, 2 * reach + 1), reach)


def level(track, rate, lufs):
    """track at an integrated loudness of lufs, its peaks held below -1 dBFS; the gain is found in three steps."""
    with tempfile.TemporaryDirectory() as folder:
        wav, gain, out = Path(folder) / "level.wav", 1.0, track
        for _ in range(3):
            soundfile.write(wav, out.T, rate, subtype="FLOAT")
            gain *= 10 ** ((lufs - loudness(wav)[0]) / 20)
            out = limit(track * gain, rate, 10 ** (-1 / 20))
    return out


def cover(path, side=420):
    """A PNG with rings and a coarse grain, so that the file is large, as cover art is."""
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    rings = 0.5 + 0.5 * np.cos(60 * np.hypot(x, y))
    grain = np.random.default_rng(7).integers(0, 8, (side, side, 3))
    pixels = (np.stack([40 + 180 * rings, 60 + 100 * rings, 120 + 80 * (x + 0.5)], axis=2) + grain).astype(np.uint8)
    rows = b"".join(b"\x00" + row.tobytes() for row in pixels)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def write(track, script, path):
    """Encodes track [channels, frames] as the script says."""
    with tempfile.TemporaryDirectory() as folder:
        wav, picture = Path(folder) / "mix.wav", Path(folder) / "cover.png"
        soundfile.write(wav, track.T, script.rate, subtype="FLOAT")
        inputs = ["-i", wav]
        if script.encoding == "mp3-cover":
            cover(picture)
            inputs += ["-i", picture, "-map", "0:a", "-map", "1:v"]
        tags = ["-metadata", f"title={script.title}", "-metadata", "artist=Earshot sampler"]
        ffmpeg(*inputs, *CODECS[script.encoding], *tags, *EXACT, path)
