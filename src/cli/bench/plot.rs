//! Plots of the results, as SVG: latency by percentile, and deliveries over time.
//!
//! Called by `mod` for `--plot`.
//!
//! # Always true
//! - Text and axes follow the reader's colour scheme, light or dark.
//! - Text from outside is escaped.

use std::fmt::Write;

use hdrhistogram::Histogram;

use crate::cli::units;

const WIDTH: f64 = 900.0;
const PANEL_HEIGHT: f64 = 280.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 70.0;
/// The space between the two panels.
const GAP: f64 = 90.0;
/// Distinguishable with red-green colour blindness too.
const COLOURS: [&str; 6] = ["#0a84c6", "#e07b00", "#16a085", "#c2478f", "#8c7ae6", "#a0783c"];
/// The last percentile drawn: 99.999.
const NINES_MAX: i32 = 5;

/// The data of one target.
pub struct Line<'a> {
    pub name: String,
    /// Latencies in nanoseconds.
    pub latency: Histogram<u64>,
    /// Points of seconds and deliveries per second.
    pub series: &'a [(f64, f64)],
}

/// The position of a panel on the page, and the values at its edges.
struct Panel {
    top: f64,
    x_max: f64,
    y_min: f64,
    y_max: f64,
    y_log: bool,
}

impl Panel {
    fn x(&self, value: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (value / self.x_max).clamp(0.0, 1.0)
    }

    fn y(&self, value: f64) -> f64 {
        let part = if self.y_log {
            (value.max(self.y_min) / self.y_min).ln() / (self.y_max / self.y_min).ln()
        } else {
            (value - self.y_min) / (self.y_max - self.y_min)
        };
        self.top + PANEL_HEIGHT * (1.0 - part.clamp(0.0, 1.0))
    }

    fn bottom(&self) -> f64 {
        self.top + PANEL_HEIGHT
    }
}

pub fn svg(title: &str, lines: &[Line<'_>]) -> String {
    let height = TOP + 2.0 * PANEL_HEIGHT + GAP + 60.0;
    let mut svg = String::new();
    let _ = writeln!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="system-ui, sans-serif" font-size="12">
<style>
svg {{ color: #1c1c1e; background: #ffffff; }}
@media (prefers-color-scheme: dark) {{ svg {{ color: #e8e8ea; background: #16181c; }} }}
text {{ fill: currentColor; }}
.grid {{ stroke: currentColor; stroke-opacity: 0.15; }}
.axis {{ stroke: currentColor; stroke-opacity: 0.6; }}
.line {{ fill: none; stroke-width: 1.8; stroke-linejoin: round; }}
</style>
<text x="{LEFT}" y="24" font-size="15">{}</text>"##,
        escaped(title)
    );
    legend(&mut svg, lines);
    latency_panel(&mut svg, lines);
    time_panel(&mut svg, lines);
    svg.push_str("</svg>\n");
    svg
}

fn legend(svg: &mut String, lines: &[Line<'_>]) {
    let mut x = LEFT;
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let text_x = x + 24.0;
        let _ = writeln!(
            svg,
            r#"<path class="line" stroke="{colour}" d="M{x:.0} 44h18"/><text x="{text_x:.0}" y="48">{}</text>"#,
            escaped(&line.name)
        );
        x += 50.0 + 7.0 * line.name.chars().count() as f64;
    }
}

fn latency_panel(svg: &mut String, lines: &[Line<'_>]) {
    let measured = || lines.iter().filter(|line| !line.latency.is_empty());
    let micros = |ns: u64| (ns as f64 / 1_000.0).max(0.001);
    let min = measured().map(|line| micros(line.latency.min())).fold(f64::MAX, f64::min);
    let max = measured().map(|line| micros(line.latency.max())).fold(0.0, f64::max);
    if max == 0.0 {
        let y = TOP + PANEL_HEIGHT / 2.0;
        let _ = writeln!(svg, r#"<text x="{LEFT}" y="{y}">no latency was measured</text>"#);
        return;
    }
    let decade = |value: f64, round: fn(f64) -> f64| 10f64.powf(round(value.log10()));
    let (y_min, mut y_max) = (decade(min, f64::floor), decade(max, f64::ceil));
    if y_max <= y_min {
        y_max = y_min * 10.0;
    }
    let panel = Panel { top: TOP, x_max: f64::from(NINES_MAX), y_min, y_max, y_log: true };
    let mut value = y_min;
    while value <= y_max * 1.01 {
        y_tick(svg, &panel, value, &units::micros(value));
        value *= 10.0;
    }
    let names = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"];
    for (nines, name) in names.iter().enumerate() {
        x_tick(svg, &panel, nines as f64, name);
    }
    frame(svg, &panel, "percentile (each step divides the remainder by ten)", "latency");
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let latency = &line.latency;
        if latency.is_empty() {
            continue;
        }
        // Percentiles above which there is less than one message are meaningless.
        let nines_max = (latency.len() as f64).log10().min(f64::from(NINES_MAX));
        let points = (0..=200).map(|step| {
            let nines = nines_max * f64::from(step) / 200.0;
            let quantile = 1.0 - 10f64.powf(-nines);
            (nines, micros(latency.value_at_quantile(quantile)))
        });
        polyline(svg, &panel, colour, points);
    }
}

fn time_panel(svg: &mut String, lines: &[Line<'_>]) {
    let points = || lines.iter().flat_map(|line| line.series);
    let x_max = points().map(|(seconds, _)| *seconds).fold(0.1, f64::max);
    let rate_max = points().map(|(_, rate)| *rate).fold(1.0, f64::max);
    let step = round_step(rate_max / 5.0);
    let y_max = (rate_max / step).ceil() * step;
    let top = TOP + PANEL_HEIGHT + GAP;
    let panel = Panel { top, x_max, y_min: 0.0, y_max, y_log: false };
    let mut value = 0.0;
    while value <= y_max * 1.01 {
        y_tick(svg, &panel, value, &units::count(value));
        value += step;
    }
    let step = round_step(x_max / 8.0);
    let mut value = 0.0;
    while value <= x_max * 1.001 {
        x_tick(svg, &panel, value, &format!("{}", (value * 100.0).round() / 100.0));
        value += step;
    }
    frame(svg, &panel, "time (s), first round", "deliveries/s");
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        polyline(svg, &panel, colour, line.series.iter().copied());
    }
}

/// Rounds a step up to 1, 2 or 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= step * 0.999);
    factor.unwrap_or(10.0) * power
}

fn y_tick(svg: &mut String, panel: &Panel, value: f64, name: &str) {
    let (y, right) = (panel.y(value), WIDTH - RIGHT);
    let (text_x, text_y) = (LEFT - 8.0, y + 4.0);
    let _ = writeln!(
        svg,
        r#"<path class="grid" d="M{LEFT} {y:.1}H{right}"/><text x="{text_x}" y="{text_y:.1}" text-anchor="end">{name}</text>"#
    );
}

fn x_tick(svg: &mut String, panel: &Panel, value: f64, name: &str) {
    let (x, top, bottom) = (panel.x(value), panel.top, panel.bottom());
    let text_y = bottom + 18.0;
    let _ = writeln!(
        svg,
        r#"<path class="grid" d="M{x:.1} {top}V{bottom}"/><text x="{x:.1}" y="{text_y}" text-anchor="middle">{name}</text>"#
    );
}

fn frame(svg: &mut String, panel: &Panel, x_name: &str, y_name: &str) {
    let (top, bottom, right) = (panel.top, panel.bottom(), WIDTH - RIGHT);
    let (middle_x, middle_y) = ((LEFT + right) / 2.0, (top + bottom) / 2.0);
    let name_y = bottom + 40.0;
    let _ = writeln!(
        svg,
        r#"<path class="axis" fill="none" d="M{LEFT} {top}V{bottom}H{right}"/>
<text x="{middle_x}" y="{name_y}" text-anchor="middle">{x_name}</text>
<text transform="translate(18 {middle_y}) rotate(-90)" text-anchor="middle">{y_name}</text>"#
    );
}

fn polyline(
    svg: &mut String,
    panel: &Panel,
    colour: &str,
    points: impl Iterator<Item = (f64, f64)>,
) {
    let points = points.map(|(x, y)| format!("{:.1},{:.1}", panel.x(x), panel.y(y)));
    let points = points.collect::<Vec<_>>().join(" ");
    let _ = writeln!(svg, r#"<polyline class="line" stroke="{colour}" points="{points}"/>"#);
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::worker;
    use super::*;

    /// Checks that tags are closed in order and that special characters in text are escaped.
    fn assert_well_formed(svg: &str) {
        let mut open = Vec::new();
        for part in svg.split('<').skip(1) {
            let (tag, text) = part.split_once('>').expect("every tag ends");
            assert!(!text.contains('>') || text.contains('{'), "{text}");
            for entity in text.split('&').skip(1) {
                let known = ["amp;", "lt;", "gt;", "quot;"];
                assert!(known.iter().any(|known| entity.starts_with(known)), "{entity}");
            }
            assert!(tag.matches('"').count().is_multiple_of(2), "{tag}");
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "the last tag opened is closed first");
            } else if !tag.ends_with('/') {
                open.push(tag.split_whitespace().next().expect("a name"));
            }
        }
        assert!(open.is_empty(), "{open:?}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn plots_are_well_formed_with_a_line_per_target_in_each_panel() {
        let mut latency = worker::histogram();
        (1..5_000u64).for_each(|ns| latency.record(ns * 777).expect("a value within the bounds"));
        let series = [(0.1, 1_000.0), (0.2, 1_200.0)];
        let line =
            |name: &str| Line { name: name.to_owned(), latency: latency.clone(), series: &series };
        let svg = svg("a < b & \"c\"", &[line("blip://<x>"), line("nats://y")]);
        assert_well_formed(&svg);
        assert_eq!(svg.matches("<polyline").count(), 4);
        assert!(svg.contains("blip://&lt;x&gt;") && svg.contains("a &lt; b &amp; &quot;c&quot;"));
        assert!(svg.contains("99.9 %") && svg.contains("deliveries/s"));
    }

    #[test]
    fn plots_without_measurements_are_well_formed() {
        let line = Line { name: "x".to_owned(), latency: worker::histogram(), series: &[] };
        assert_well_formed(&svg("t", &[line]));
        let mut latency = worker::histogram();
        latency.record(1).expect("a value within the bounds");
        let line = Line { name: "x".to_owned(), latency, series: &[(0.0, 0.0)] };
        assert_well_formed(&svg("t", &[line]));
    }

    #[test]
    fn steps_are_round_numbers() {
        assert_eq!([0.9, 1.1, 3.0, 6.0].map(round_step), [1.0, 2.0, 5.0, 10.0]);
    }
}
