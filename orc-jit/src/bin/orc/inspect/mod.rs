//! `orc inspect`: the link graph of objects and archives, as text, JSON or a drawing.
//!
//! Each object is shown by itself, as the linker sees it before anything is joined; with `--linked` all are joined, what nothing
//! refers to is left out, and everything has the address that it would have from `--base` on.

mod dot;
mod model;
mod text;

use super::args::{InspectArgs, InspectFormat};
use super::talk::Talk;
use jitlink::arch::Machine;
use jitlink::object::archive::{Archive, Content};
use jitlink::object::universal;
use jitlink::object::{ReadOptions, detect};
use jitlink::{FlatMemory, Link, LinkGraph, LinkOptions, Roots};
use model::{Model, ObjectModel};
use orc_jit::diagnose::{self, Report};
use orc_jit::input::{FileKind, InputError};
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// One relocatable object: a file, or a member of an archive.
struct Source {
    name: String,
    bytes: Vec<u8>,
}

/// Shows what `args` asks for.
pub(crate) fn inspect(args: &InspectArgs, talk: &Talk) -> ExitCode {
    match model_of(args) {
        Ok(model) => match write(&model, args.format) {
            Ok(()) => ExitCode::SUCCESS,
            // The reader has seen enough (`| head`).
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(error) => talk.fail(&[Report::error(format!("cannot write to standard output: {error}"))]),
        },
        Err(reports) => talk.fail(&reports),
    }
}

fn write(model: &Model, format: InspectFormat) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match format {
        InspectFormat::Text => text::write(model, &mut out)?,
        InspectFormat::Dot => dot::write(model, &mut out)?,
        InspectFormat::Json => {
            serde_json::to_writer_pretty(&mut out, model)?;
            writeln!(out)?;
        }
    }
    out.flush()
}

fn model_of(args: &InspectArgs) -> Result<Model, Vec<Report>> {
    let mut sources = Vec::new();
    for path in &args.inputs {
        read_sources(path, &mut sources)?;
    }
    if args.linked {
        return linked(&sources, args.base);
    }
    let mut objects = Vec::with_capacity(sources.len());
    for source in &sources {
        let mut graph = LinkGraph::new(machine_of(source)?);
        read(&mut graph, source)?;
        objects.extend(model::objects(&graph, false));
    }
    Ok(Model::new(objects))
}

fn linked(sources: &[Source], base: u64) -> Result<Model, Vec<Report>> {
    let [first, ..] = sources else { return Ok(Model::new(Vec::new())) };
    let mut graph = LinkGraph::new(machine_of(first)?);
    for source in sources {
        read(&mut graph, source)?;
    }
    let failed = |error: jitlink::LinkError| diagnose::link_error(&error, &[]);
    let pruned = Link::new(graph, LinkOptions::default()).prune(&Roots::default()).map_err(failed)?;
    let placed = pruned.place(&FlatMemory::new(base)).map_err(failed)?;
    let objects: Vec<ObjectModel> = model::objects(placed.graph(), true);
    Ok(Model::new(objects))
}

fn read<'data>(graph: &mut LinkGraph<'data>, source: &'data Source) -> Result<(), Vec<Report>> {
    match jitlink::object::read(graph, &source.name, &source.bytes, ReadOptions::default()) {
        Ok(_) => Ok(()),
        Err(error) => Err(vec![diagnose::object_error(&error)]),
    }
}

/// The machine of the object; that of the host where the header does not say, so that the reader can say what is wrong.
fn machine_of(source: &Source) -> Result<&'static Machine, Vec<Report>> {
    let kind = detect::FileKind::detect(&source.bytes);
    match (kind.machine().or_else(|| universal::machines(&source.bytes).next()), kind) {
        (Some(machine), _) => Ok(machine),
        (None, detect::FileKind::Elf(elf)) if detect::machine_name(elf.machine) != Machine::ALL[0].name => {
            let known: Vec<&str> = Machine::ALL.iter().map(|machine| machine.name).collect();
            let name = detect::machine_name(elf.machine);
            let report = Report::error(format!("{} is for {name}, which is not supported yet", source.name));
            Err(vec![report.help(format!("objects for {} can be read", known.join(", ")))])
        }
        (None, _) => Ok(Machine::ALL[0]),
    }
}

/// The object at `path`, or all objects of the archive at `path`.
fn read_sources(path: &Path, sources: &mut Vec<Source>) -> Result<(), Vec<Report>> {
    let cannot_read = |path: &Path, error| vec![Report::from(&InputError::Read { path: path.into(), error })];
    let bytes = std::fs::read(path).map_err(|error| cannot_read(path, error))?;
    let kind = FileKind::of_bytes(path, &bytes[..bytes.len().min(4096)]).map_err(|error| vec![Report::from(&error)])?;
    match kind {
        FileKind::Object => sources.push(Source { name: path.display().to_string(), bytes }),
        FileKind::Archive => {
            let broken = |error| vec![Report::error(format!("{}: {error}", path.display()))];
            for member in Archive::parse(&bytes).map_err(broken)?.members() {
                let member = member.map_err(broken)?;
                let name = String::from_utf8_lossy(member.name).into_owned();
                let contents = match member.content {
                    Content::Bytes(contents) => contents.to_vec(),
                    Content::Thin(file) => {
                        // Relative to the archive (ar(1), "thin").
                        let file: PathBuf = path.with_file_name(OsStr::from_bytes(file));
                        std::fs::read(&file).map_err(|error| cannot_read(&file, error))?
                    }
                };
                // Libraries of Rust carry their metadata beside their objects.
                if detect::FileKind::detect(&contents).machine().is_some() {
                    sources.push(Source { name: format!("{}({name})", path.display()), bytes: contents });
                }
            }
        }
        FileKind::SharedLibrary => {
            let report = Report::error(format!("{} is a shared library: it is linked already", path.display()));
            return Err(vec![report.help("give objects or archives; readelf or objdump show libraries")]);
        }
        FileKind::Script => {
            let report = Report::error(format!("{} is text, not an object", path.display()));
            return Err(vec![report.help("give objects or archives")]);
        }
    }
    Ok(())
}
