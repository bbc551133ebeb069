// A Rust program with its standard library: threads, thread_local!, caught panics, maps, channels, output.
//#Make: libstd_all.a = echo 'pub fn nothing() {}' > nothing.rs && rustc --crate-type staticlib -o libstd_all.a nothing.rs
//#Inputs: main.rs libstd_all.a
//#Libs: -lgcc_s -lc
//#Flags: -O0 -Cpanic=unwind | -O2 -Cpanic=unwind
//#Pic: pic pie
//#Args: seven 7
//#Exit: 3
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

struct Loud(&'static str);
impl Drop for Loud {
    fn drop(&mut self) {
        println!("drop {}", self.0);
    }
}

thread_local! {
    static COUNT: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    static LOUD: Loud = Loud("thread's");
}

fn count(n: u32) -> usize {
    COUNT.with(|count| {
        count.borrow_mut().push(n);
        count.borrow().len()
    })
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    println!("{arguments:?} {}", count(1));
    let shared = Arc::new(Mutex::new(BTreeMap::new()));
    let (sender, receiver) = mpsc::channel();
    let threads: Vec<_> = (0..4u32)
        .map(|id| {
            let (shared, sender) = (shared.clone(), sender.clone());
            std::thread::Builder::new()
                .name(format!("worker {id}"))
                .spawn(move || {
                    for n in 0..=id {
                        sender.send(count(n)).unwrap();
                    }
                    let name = std::thread::current().name().unwrap().to_owned();
                    shared.lock().unwrap().insert(id, name);
                })
                .unwrap()
        })
        .collect();
    drop(sender);
    for thread in threads {
        thread.join().unwrap();
    }
    println!("{:?} {}", shared.lock().unwrap(), receiver.iter().sum::<usize>());
    std::thread::spawn(|| LOUD.with(|loud| println!("use {}", loud.0))).join().unwrap();
    std::panic::set_hook(Box::new(|info| println!("hook: {info}")));
    let caught = std::panic::catch_unwind(|| {
        let _guard = Loud("guard");
        let map: HashMap<&str, u32> = HashMap::from([("a", 1)]);
        map["b"]
    });
    println!("caught {}", caught.is_err());
    let joined = std::thread::spawn(|| panic!("in a thread {}", count(5))).join();
    println!("{:?} {}", joined.unwrap_err().downcast_ref::<String>(), count(9));
    std::process::exit(3);
}
