//! The plot, as SVG: one line a workload, one mark a rival, CPU time as a multiple of ours on a logarithmic scale.
//!
//! Colour says whose it is, shape says how it gets the program to run. The picture follows the reader's light or dark scheme.

use super::board::{Board, Cell, OURS, Row, Table};
use super::measure::Usage;
use super::table::{FLOOR, figures};
use std::fmt::Write as _;

const WIDTH: f64 = 960.0;
/// Where the scale begins and ends; left of it stand names, right of it our own time.
const LEFT: f64 = 300.0;
const RIGHT: f64 = 880.0;
const TOP: f64 = 92.0;
const LINE: f64 = 30.0;

/// Whose it is: a word of the rival's name, and its class.
const OWNERS: &[(&str, &str)] = &[
    ("orc", "orc"),
    ("mini", "mini"),
    ("llvm-jitlink", "llvm"),
    ("lld", "lld"),
    ("ld", "ld"),
    ("mold", "mold"),
    ("wild", "wild"),
    ("tcc", "tcc"),
];

/// How it runs: a word of the rival's name, what the legend says, and the outline around its middle.
const SHAPES: &[(&str, &str, &str)] = &[
    ("so", "shared library", "M-5 4H5L0 -5Z"),
    ("exe", "executable", "M-5 -4H5L0 5Z"),
    ("spawn", "process of its own", "M-4 -4H4V4H-4Z"),
    ("oop", "", "M-4 -4H4V4H-4Z"),
    ("", "in process", "M-4.5 0A4.5 4.5 0 1 0 4.5 0A4.5 4.5 0 1 0 -4.5 0Z"),
];

const STYLE: &str = "
text{font:13px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2328}
.dim{fill:#59636e;font-size:12px}.end{text-anchor:end}.mid{text-anchor:middle}.paper{fill:#fff}
.grid{stroke:#d8dee4}.one{stroke:#0969da;stroke-width:1.5}.bound{stroke:#59636e;stroke-width:2}
path{fill-opacity:.85;stroke:#fff;stroke-width:.8}
.orc{fill:#0969da}.mini{fill:#59636e}.llvm{fill:#cf222e}.ld{fill:#7a5230}.lld{fill:#1a7f37}.mold{fill:#d4730b}.wild{fill:#8250df}.tcc{fill:#0b7285}
@media(prefers-color-scheme:dark){
text{fill:#e6edf3}.dim{fill:#9198a1}.paper{fill:#0d1117}.grid{stroke:#30363d}.one{stroke:#58a6ff}.bound{stroke:#9198a1}path{stroke:#0d1117}
.orc{fill:#58a6ff}.mini{fill:#9198a1}.llvm{fill:#ff7b72}.ld{fill:#c69c6d}.lld{fill:#56d364}.mold{fill:#ffa657}.wild{fill:#bc8cff}.tcc{fill:#39c5cf}
}
";

/// A logarithmic scale of multiples.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn at(&self, ratio: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * (ratio / self.low).ln() / (self.high / self.low).ln()
    }

    /// 1, 2 and 5 of every power of ten.
    fn ticks(&self) -> Vec<f64> {
        let powers = (-3..5).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)));
        powers.filter(|tick| (self.low..=self.high * 1.0001).contains(tick)).collect()
    }

    /// From tick to tick around all multiples, one among them.
    fn around(all: &[f64]) -> Self {
        let (low, high) = all.iter().fold((0.8, 1.25), |(low, high): (f64, f64), one| (low.min(*one), high.max(*one)));
        let wide = Self { low: 1e-3, high: 5e4 }.ticks();
        let low = wide.iter().rev().find(|tick| **tick <= low).copied().unwrap_or(1e-3);
        let high = wide.iter().find(|tick| **tick >= high).copied().unwrap_or(5e4);
        Self { low, high }
    }
}

impl Board {
    /// The whole picture. Workloads that we did not run are left out.
    pub fn plot(&self) -> String {
        let rows: Vec<(&Row, f64)> =
            self.rows_of(Table::Programs).filter_map(|row| Some((row, self.ours(row)?))).collect();
        let ratios: Vec<f64> =
            rows.iter().flat_map(|(row, ours)| self.ratios(row, *ours)).map(|(_, ratio)| ratio).collect();
        let scale = Scale::around(&ratios);
        let bottom = TOP + LINE * rows.len() as f64;
        let mut text = String::new();
        let height = bottom + 62.0;
        let _ = writeln!(
            text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
             <title>CPU time from objects on disk to the program's end, as a multiple of orc's</title>\n<style>{STYLE}</style>\n\
             <rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\"/>\n\
             <text x=\"12\" y=\"22\">CPU time from objects on disk to the program's end, as a multiple of orc's</text>"
        );
        self.legend(&mut text);
        for tick in scale.ticks() {
            let (x, class) = (scale.at(tick), if tick == 1.0 { "one" } else { "grid" });
            let _ = writeln!(
                text,
                "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
                 <text class=\"dim mid\" x=\"{x:.1}\" y=\"{:.1}\">{tick}x</text>",
                bottom + 16.0
            );
        }
        let _ = writeln!(text, "<text class=\"dim end\" x=\"{}\" y=\"{}\">orc, ms</text>", WIDTH - 8.0, TOP - 4.0);
        for (index, (row, ours)) in rows.iter().enumerate() {
            let y = TOP + LINE * (index as f64 + 0.5);
            let _ = writeln!(
                text,
                "<text class=\"end\" x=\"{}\" y=\"{:.1}\">{} <tspan class=\"dim\">{}</tspan></text>\
                 <text class=\"dim end\" x=\"{}\" y=\"{:.1}\">{}</text>",
                LEFT - 12.0,
                y + 4.0,
                escaped(&row.name),
                escaped(&row.what),
                WIDTH - 8.0,
                y + 4.0,
                figures(*ours)
            );
            for (name, ratio) in self.ratios(row, *ours) {
                mark(&mut text, name, scale.at(ratio), y, ratio);
            }
        }
        // Too long for one line: the machine, then its compilers.
        let (machine, compilers) = self.machine.split_once(", gcc").unwrap_or((&self.machine, ""));
        let compilers = if compilers.is_empty() { String::new() } else { format!("gcc{compilers}") };
        for (line, y) in [(machine, height - 24.0), (&compilers, height - 8.0)] {
            let _ = writeln!(text, "<text class=\"dim\" x=\"12\" y=\"{y:.1}\">{}</text>", escaped(line));
        }
        text.push_str("</svg>\n");
        text
    }

    fn ours(&self, row: &Row) -> Option<f64> {
        row.cells.get(self.column(OURS)?)?.median(Usage::cpu_ms).filter(|ms| *ms > 0.0)
    }

    /// Every rival that ran but ourselves, and its time as a multiple of ours.
    fn ratios<'a>(&'a self, row: &'a Row, ours: f64) -> impl Iterator<Item = (&'a str, f64)> {
        let measured = |cell: &Cell| cell.median(Usage::cpu_ms).filter(|ms| *ms > 0.0);
        let all = self.rivals.iter().zip(&row.cells).filter(|(rival, _)| rival.name != OURS);
        all.filter_map(move |(rival, cell)| Some((rival.name.as_str(), measured(cell)? / ours)))
    }

    fn legend(&self, text: &mut String) {
        let mut x = 12.0;
        for (name, class) in
            OWNERS.iter().filter(|(_, class)| self.rivals.iter().any(|rival| owner(&rival.name) == Some(*class)))
        {
            let _ = write!(text, "<path class=\"{class}\" transform=\"translate({x} 44)\" d=\"{}\"/>", SHAPES[4].2);
            let _ = writeln!(text, "<text class=\"dim\" x=\"{}\" y=\"48\">{name}</text>", x + 10.0);
            x += 34.0 + 7.0 * name.len() as f64;
        }
        x = 12.0;
        for (_, says, outline) in SHAPES.iter().filter(|(_, says, _)| !says.is_empty()) {
            let _ = write!(text, "<path class=\"mini\" transform=\"translate({x} 66)\" d=\"{outline}\"/>");
            let _ = writeln!(text, "<text class=\"dim\" x=\"{}\" y=\"70\">{says}</text>", x + 10.0);
            x += 34.0 + 7.0 * says.len() as f64;
        }
        for name in ["run alone", FLOOR].into_iter().filter(|name| self.column(name).is_some()) {
            mark(text, name, x, 66.0, 0.0);
            let _ = writeln!(text, "<text class=\"dim\" x=\"{}\" y=\"70\">{name}</text>", x + 10.0);
            x += 34.0 + 7.0 * name.len() as f64;
        }
    }
}

/// A rival's mark. What nobody can go under are lines: the program's run a whole one, the floor half of one.
fn mark(text: &mut String, name: &str, x: f64, y: f64, ratio: f64) {
    let title = format!("<title>{} {}x</title>", escaped(name), figures(ratio));
    let _ = match owner(name) {
        Some(class) => {
            writeln!(
                text,
                "<path class=\"{class}\" transform=\"translate({x:.1} {y:.1})\" d=\"{}\">{title}</path>",
                outline(name)
            )
        }
        None => {
            let top = if name == FLOOR { y } else { y - 8.0 };
            writeln!(
                text,
                "<line class=\"bound\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{:.1}\">{title}</line>",
                y + 8.0
            )
        }
    };
}

fn owner(rival: &str) -> Option<&'static str> {
    OWNERS.iter().find(|(word, _)| rival.split(' ').any(|part| part == *word)).map(|(_, class)| *class)
}

fn outline(rival: &str) -> &'static str {
    let has = |word: &str| word.is_empty() || rival.split(' ').any(|part| part == word);
    SHAPES.iter().find(|(word, ..)| has(word)).map_or("", |(.., outline)| outline)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
