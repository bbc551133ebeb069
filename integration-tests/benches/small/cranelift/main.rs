//! cranelift-jit's link step by itself: machine code that is there already is defined as a function of a warm module, made final, and called. Prints the
//! nanoseconds of each, a line for each of as many as the first argument says. Nothing is freed: a module goes as a whole.
//!
//! `unsafe` because what was just defined is called by address.
#![allow(unsafe_code)]

use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{Linkage, Module, default_libcall_names};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: usize = std::env::args().nth(1).ok_or("how many?")?.parse()?;
    let mut module = JITModule::new(JITBuilder::new(default_libcall_names())?);
    let signature = module.make_signature();
    // mov $42, %eax; ret
    let code = [0xb8, 42, 0, 0, 0, 0xc3];
    for number in 0..count {
        let begin = Instant::now();
        let function = module.declare_function(&format!("f{number}"), Linkage::Export, &signature)?;
        module.define_function_bytes(function, 16, &code, &[])?;
        module.finalize_definitions()?;
        let address = module.get_finalized_function(function);
        // SAFETY: the code is a function of this type.
        let function: extern "C" fn() -> i32 = unsafe { std::mem::transmute(address) };
        let answer = function();
        let took = begin.elapsed().as_nanos();
        if answer != 42 {
            return Err(format!("it says {answer}").into());
        }
        println!("{took}");
    }
    Ok(())
}
