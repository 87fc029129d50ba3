"""Writes the feed: RSS 2.0 with Apple's and the podcast namespace; {{BASE}} stands for where it is served."""
import uuid
from xml.sax.saxutils import escape, quoteattr

BASE = "{{BASE}}"
ADDRESS = "earshot.example/sampler/feed.xml"
# podcast:guid is the UUIDv5 of the feed's address under the namespace that Podcasting 2.0 fixes.
GUID = uuid.uuid5(uuid.UUID("ead4c236-bf58-58c6-a2c6-a6b28d128cb6"), ADDRESS)
TYPES = {"mp3": "audio/mpeg", "m4a": "audio/mp4", "ogg": "audio/ogg", "opus": "audio/ogg", "flac": "audio/flac", "wav": "audio/wav"}


def item(script, truth, size):
    """One episode as an RSS item."""
    kind = TYPES[script.file.rsplit(".", 1)[1]]
    lines = [
        f"<title>{escape(script.title)}</title>",
        f"<description>{escape(script.description)}</description>",
        f'<guid isPermaLink="false">earshot-sampler-{script.slug}</guid>',
        f"<pubDate>{script.published}</pubDate>",
        f"<enclosure url={quoteattr(f'{BASE}/{script.file}')} length={quoteattr(str(size))} type={quoteattr(kind)}/>",
        f"<itunes:duration>{round(truth['duration'])}</itunes:duration>",
        "<itunes:explicit>false</itunes:explicit>",
    ]
    if script.soundbite:
        start, end = truth["highlight"]["start"], truth["highlight"]["end"]
        lines.append(f'<podcast:soundbite startTime="{start:.1f}" duration="{end - start:.1f}">{escape(script.soundbite)}</podcast:soundbite>')
    return "    <item>\n" + "".join(f"      {line}\n" for line in lines) + "    </item>\n"


def write(episodes, path):
    """The feed of (script, truth, bytes of the file), newest first."""
    items = "".join(item(*episode) for episode in episodes)
    path.write_text(f"""<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd" xmlns:podcast="https://podcastindex.org/namespace/1.0">
  <channel>
    <title>The Earshot sampler</title>
    <link>{BASE}/</link>
    <description>Eight short episodes, spoken by synthesisers, to try Earshot with.</description>
    <language>en</language>
    <podcast:guid>{GUID}</podcast:guid>
    <podcast:locked>no</podcast:locked>
    <itunes:author>Earshot</itunes:author>
    <itunes:explicit>false</itunes:explicit>
    <itunes:category text="Society &amp; Culture"/>
{items}  </channel>
</rss>
""")
