"""A bar chart as SVG: a panel for each workload, a bar for each server."""

from html import escape

COLUMNS = 3
BAR, GAP = 16, 4
PANEL_WIDTH, LABEL_WIDTH, VALUE_WIDTH = 380, 120, 50
HEAD, MARGIN = 28, 16
LONG_TITLE = 48  # characters that are wider than a panel
COLOURS = {"wsgid": "#2f6f9f", "floor0": "#b9c4cc", "floor1": "#8c9aa5"}
OTHER = "#d9a441"


def text(x, y, words, size=12, anchor="start", weight="normal"):
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}"'
        f' font-weight="{weight}">{escape(words)}</text>'
    )


def bar(x, y, width, colour):
    return f'<rect x="{x:g}" y="{y:g}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>'


def label(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def panel(x, y, title, values):
    """values: (server, number) from above to below; the longest bar fills the panel."""
    yield text(x, y + 16, title, 13 if len(title) < LONG_TITLE else 11, weight="bold")
    room = PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH - 2 * MARGIN
    largest = max(value for _, value in values)
    for n, (server, value) in enumerate(values):
        top = y + HEAD + n * (BAR + GAP)
        length = max(1, room * value / largest) if largest else 1
        yield text(x + LABEL_WIDTH, top + BAR - 4, server, 11, "end")
        yield bar(x + LABEL_WIDTH + 6, top, length, COLOURS.get(server, OTHER))
        yield text(x + LABEL_WIDTH + 10 + length, top + BAR - 4, label(value), 11)


def chart(title, panels):
    """panels: (title, values); returns the text of the file."""
    panels = [p for p in panels if p[1]]
    rows = [panels[i : i + COLUMNS] for i in range(0, len(panels), COLUMNS)]
    width = 2 * MARGIN + COLUMNS * PANEL_WIDTH
    y = MARGIN + 30
    lines = [text(MARGIN, MARGIN + 14, title, 16, weight="bold")]
    for row in rows:
        for column, (name, values) in enumerate(row):
            lines += panel(MARGIN + column * PANEL_WIDTH, y, name, values)
        y += HEAD + max(len(values) for _, values in row) * (BAR + GAP) + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}"'
        f' viewBox="0 0 {width} {y}" font-family="sans-serif" fill="#222">'
    )
    ground = f'<rect width="{width}" height="{y}" fill="#fff"/>'
    return "\n".join([head, ground, *lines, "</svg>", ""])


def cost_panels(results, workloads):
    """Processor time of a request, median, server by server."""
    for workload in workloads:
        values = [
            (server, results.spread(workload.name, server, "cpu_us"))
            for server in results.servers_of(workload.name)
        ]
        yield workload.title, [(server, spread[0]) for server, spread in values if spread]
