//! Does every rival's program print the same, and can what the scoreboard writes be read?
//!
//! A small scoreboard: one round, with everything that Debian has. wild is built from source by the bench, which takes minutes: here it
//! takes part where it is installed. Times are measured and not judged.

use integration_tests::scoreboard::{self, Board, Cell, Options, Outcome, Row, Usage};
use integration_tests::workplace::Workplace;

/// Three programs, and the smallest of everything that grows.
const WORKLOADS: &str =
    "W1,W3,W5-1k,functions 1000,one object 1000,sections 1000,members 1000,relocations 10000,dylibs 1000";

/// One test: measuring waits for any child of this process, so nothing else may start some.
#[test]
fn a_small_scoreboard() {
    let workplace = Workplace::of_this_test().expect("a workplace");
    let orc = workplace.orc.expect("an orc").display().to_string();
    let words = ["--rounds", "1", "--workloads", WORKLOADS, "--no-install", "--orc", &orc];
    let options = Options::parse(words.map(str::to_owned).into_iter()).expect("options").expect("not the usage");
    let options = Options { floor: Some(env!("CARGO_BIN_EXE_floor").into()), ..options };
    let Ok(Outcome::Measured(board)) = scoreboard::run(&options) else { panic!("nothing was measured") };

    everybody_ran(&board);
    let csv = board.to_csv().expect("CSV");
    assert_eq!(Board::from_csv(&csv).expect("what was written"), board, "{csv}");
    let markdown = board.markdown();
    tables_are_whole(&board, &markdown);
    picture_is_whole(&board, &board.plot());
    let readme = std::fs::read_to_string(workplace.package.join("../README.md")).expect("a README");
    let renewed = board.into_readme(&readme).expect("the marks");
    assert!(renewed.contains(&board.machine), "{renewed}");
    assert_eq!(board.into_readme(&renewed).as_ref(), Ok(&renewed), "again is the same");
}

fn everybody_ran(board: &Board) {
    assert_eq!(board.rows.len(), 1 + WORKLOADS.split(',').count(), "and what starting costs");
    for name in [
        "run alone",
        "orc",
        "orc spawn",
        "mini",
        "llvm-jitlink",
        "llvm-jitlink oop",
        "so ld",
        "exe mold",
        "tcc",
        "floor",
    ] {
        assert!(board.column(name).is_some(), "{name} takes part");
    }
    for row in &board.rows {
        for (rival, cell) in board.rivals.iter().zip(&row.cells) {
            let who = format!("{} on {}", rival.name, row.title());
            match cell {
                Cell::Ran(usages) => {
                    let [usage] = &usages[..] else { panic!("{who}: one round, {} usages", usages.len()) };
                    assert!(!usage.wall.is_zero() && usage.peak_kib > 0 && usage.minor_faults > 0, "{who}: {usage:?}");
                }
                Cell::Absent(_) if rival.name.ends_with("wild") => {}
                Cell::Absent(why) if row.size.is_some() && (why.contains("grow") || why.contains("dylibs")) => {}
                // A race of LLVM's own: the executor is gone before its controller has said goodbye.
                Cell::Fails(why) if rival.name == "llvm-jitlink oop" && why.contains("disconnecting") => {}
                other => panic!("{who}: {other:?}"),
            }
        }
    }
    let ours = |row: &Row| row.cells[board.column("orc").expect("orc takes part")].ran().map(<[Usage]>::len);
    assert!(board.rows.iter().all(|row| ours(row) == Some(1)), "orc can all");
}

/// Every line of a table has as many cells as its head, and every rival and workload is in one.
fn tables_are_whole(board: &Board, markdown: &str) {
    let mut cells = None;
    let mut tables = 0;
    for line in markdown.lines() {
        if !line.starts_with('|') {
            cells = None;
            continue;
        }
        let count = line.matches('|').count();
        tables += usize::from(cells.is_none());
        assert_eq!(*cells.get_or_insert(count), count, "{line}\n{markdown}");
    }
    assert_eq!(tables, 4, "times, memory, page faults, growth:\n{markdown}");
    for rival in &board.rivals {
        assert!(markdown.contains(&format!("| {} |", rival.name)), "{}:\n{markdown}", rival.name);
    }
    for row in board.rows.iter().filter(|row| row.name != "start") {
        assert!(markdown.contains(&format!("| {} ", row.name)), "{}:\n{markdown}", row.name);
    }
    assert!(markdown.contains(&board.machine), "{markdown}");
}

/// It is XML, and has a mark for whoever ran, inside of the frame.
fn picture_is_whole(board: &Board, picture: &str) {
    let document = roxmltree::Document::parse(picture).unwrap_or_else(|error| panic!("{error}\n{picture}"));
    let root = document.root_element();
    assert_eq!((root.tag_name().name(), root.tag_name().namespace()), ("svg", Some("http://www.w3.org/2000/svg")));
    let frame: Vec<f64> =
        root.attribute("viewBox").expect("a frame").split(' ').map(|n| n.parse().expect("a number")).collect();
    let marks: Vec<_> = document.descendants().filter(|node| node.has_tag_name("title")).collect();
    for (index, rival) in board.rivals.iter().enumerate().filter(|(_, rival)| rival.name != "orc") {
        let own = |text: &str| text.strip_prefix(&rival.name).is_some_and(|rest| rest.trim_start().ends_with('x'));
        let own =
            |text: &str| own(text) && text[rival.name.len()..].trim_start().starts_with(|c: char| c.is_ascii_digit());
        let drawn = marks.iter().filter(|mark| mark.text().is_some_and(own)).count();
        let ran = board.rows.iter().filter(|row| row.size.is_none() && row.cells[index].ran().is_some()).count();
        assert!(drawn >= ran, "{}: {drawn} marks for {ran} workloads\n{picture}", rival.name);
    }
    let places = document.descendants().filter_map(|node| node.attribute("transform"));
    for place in places.filter_map(|place| place.strip_prefix("translate(")?.strip_suffix(')')) {
        let (x, y) = place.split_once(' ').expect("two numbers");
        let (x, y): (f64, f64) = (x.parse().expect("a number"), y.parse().expect("a number"));
        assert!((0.0..=frame[2]).contains(&x) && (0.0..=frame[3]).contains(&y), "{place} lies outside\n{picture}");
    }
}
