"""What a browser would make of a page of ours."""

from __future__ import annotations

from html.parser import HTMLParser

LOADING = {"src", "srcset", "poster", "data", "background"}


class Page(HTMLParser):
    """The tags of a page with the names of their attributes, what it would fetch, its links and its text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.fetched, self.links, self.policies, self.parts = [], [], [], [], []
        self.feed(html)
        self.text = " ".join(" ".join(self.parts).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, tuple(name for name, _ in attributes)))
        given = dict(attributes)
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policies.append(given["content"])
        for name, value in attributes:
            if name in LOADING or (name == "href" and tag != "a"):
                self.fetched += [] if value.startswith("data:image/") else [value]
            elif name == "href":
                self.links.append(value)

    def handle_data(self, data):
        self.parts.append(data)
        if "url(http" in data.replace("'", "").replace('"', "") or "@import" in data:
            self.fetched.append(data)
