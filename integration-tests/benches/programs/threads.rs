use std::sync::mpsc;
fn main() {
    let words = regex::Regex::new(r"(\w+)@(\w+)\.org").unwrap();
    let (tx, rx) = mpsc::channel();
    std::thread::scope(|s| {
        for id in 0..4u32 {
            let tx = tx.clone();
            let words = &words;
            s.spawn(move || {
                let text = format!("u{id}@host{id}.org x@y.org");
                let n = words.captures_iter(&text).map(|c| c[1].len() + c[2].len()).sum::<usize>();
                tx.send((id, n)).unwrap();
            });
        }
    });
    drop(tx);
    let mut got: Vec<_> = rx.iter().collect();
    got.sort();
    let caught = std::panic::catch_unwind(|| { if got.len() == 4 { panic!("expected"); } }).is_err();
    println!("{}", serde_json::json!({"got": got, "caught": caught}));
}
