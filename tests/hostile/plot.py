"""Curves over time as an SVG: one panel for each column, all with the same time axis."""

WIDTH, PANEL, MARGIN, LEFT = 900, 160, 30, 90


def svg(lines, names):
    """`lines` are rows with `seconds` and the columns."""
    height = len(names) * (PANEL + MARGIN) + MARGIN
    panels = [panel(lines, name, number) for number, name in enumerate(names)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
    style = 'font-family="sans-serif" font-size="12">'
    return "\n".join([head + style, '<rect width="100%" height="100%" fill="white"/>', *panels, "</svg>\n"])


def panel(lines, name, number):
    """One column; its axis begins at 0, so that noise does not look like drift."""
    top = MARGIN + number * (PANEL + MARGIN)
    values = [line[name] for line in lines]
    highest = max(values, default=0) or 1
    end = max((line["seconds"] for line in lines), default=0) or 1
    span = WIDTH - LEFT - MARGIN
    points = " ".join(
        f"{LEFT + span * line['seconds'] / end:.1f},{top + PANEL * (1 - line[name] / highest):.1f}"
        for line in lines
    )
    return "\n".join(
        [
            f'<text x="{LEFT}" y="{top - 6}">{name}</text>',
            f'<text x="{LEFT - 8}" y="{top + 10}" text-anchor="end">{highest:g}</text>',
            f'<text x="{LEFT - 8}" y="{top + PANEL}" text-anchor="end">0</text>',
            f'<text x="{WIDTH - MARGIN}" y="{top + PANEL + 14}" text-anchor="end">{end / 60:.0f} min</text>',
            f'<rect x="{LEFT}" y="{top}" width="{span}" height="{PANEL}" fill="none" stroke="#bbb"/>',
            f'<polyline points="{points}" fill="none" stroke="#0a58ca" stroke-width="1.5"/>',
        ]
    )
