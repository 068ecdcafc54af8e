"""Reads a page as a browser would, for tests."""

from html.parser import HTMLParser

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
SELF_CLOSED = {"rect", "path"}


class Markup(HTMLParser):
    """All elements of a page in order: (name, attributes); `unbalanced` names what was not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self._open, self.unbalanced = [], [], [], []
        self.texts_of = {}
        self.feed(text)
        self.unbalanced += self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self._open or self._open[-1] != tag:
            self.unbalanced.append(f"/{tag}")
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data):
        self.text.append(data)
        for tag in self._open:
            self.texts_of.setdefault(tag, []).append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def said(self, tag=None):
        return " ".join(" ".join(self.text if tag is None else self.texts_of.get(tag, [])).split())

    def links(self):
        return [attributes["href"] for attributes in self.of("a") if "href" in attributes]
