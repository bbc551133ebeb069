//! In which order does a thread's end run what was registered for it? (rule 21)
#![cfg(not(shuttle))]

mod common;

use common::{Dylib, Entries, Fake, Log, address, at, image_of};

#[test]
fn the_latest_goes_first_however_often_others_came_and_went_before() {
    let (fake, log) = (Fake::new(), Log::default());
    for (number, line) in [(9200, "gone"), (9202, "first"), (9203, "second"), (9204, "third")] {
        log.on(number, line);
    }
    fake.add("goes", &[], Dylib::default()).add("stays", &[], Dylib::default());
    // SAFETY: the images are functions of this test, which stay.
    unsafe { fake.session.register_images(vec![image_of::<9200>(&fake, "goes"), image_of::<9201>(&fake, "stays")]) }
        .expect("free addresses");
    let (goes, _stays) = (fake.open("goes").expect("a dylib"), fake.open("stays").expect("a dylib"));
    let c = Entries::of(&fake.session);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let stays = address::<9201>() as u64;
            assert_eq!(c.cxa_thread_atexit(at::<9202>, stays), 0);
            // More than the C library's list keeps free, so that what comes now uses entries again: the latest of them first.
            for _ in 0..70 {
                assert_eq!(c.cxa_thread_atexit(at::<9200>, address::<9200>() as u64), 0);
            }
            fake.session.dlclose(goes).expect("open");
            assert_eq!(log.take(), vec!["gone"; 70]);
            for function in [at::<9203>, at::<9204>] {
                assert_eq!(c.cxa_thread_atexit(function, stays), 0);
            }
        });
        thread.join().expect("no panic");
    });
    assert_eq!(log.take(), ["third", "second", "first"]);
}
