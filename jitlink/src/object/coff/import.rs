//! Members of import libraries: names that functions and variables of DLLs have.
//!
//! No DLL is opened here. A name that a member gives is looked up where all names are, under the name that the DLL has for it; so what links
//! against an import library finds whatever stands in for the DLL. `__imp_NAME` is a cell with its address, made where somebody reads it.

use super::{Relocations, begin};
use crate::graph::{LinkGraph, Scope};
use crate::object::{ObjectError, ObjectProblem, ReadOptions};
use crate::reloc;
use object::LittleEndian as LE;
use object::pe;
use object::read::coff::{ImportFile, ImportName, ImportType};

/// Reads a member in the short form (PE/COFF, "Import Library Format").
pub(super) fn read<'data>(
    graph: &mut LinkGraph<'data>,
    name: &str,
    data: &'data [u8],
    options: ReadOptions,
) -> Result<Relocations<'data>, ObjectError> {
    let fail = |problem| ObjectError { object: name.to_owned(), section: None, offset: None, problem };
    let malformed = |error: object::read::Error| fail(ObjectProblem::Malformed(error.to_string()));
    let header = pe::ImportObjectHeader::parse(data, &mut 0).map_err(malformed)?;
    let machine = graph.machine();
    let found = header.machine.get(LE).0;
    let table = reloc::coff(machine).filter(|table| table.machine == found).ok_or_else(|| {
        let found = crate::object::detect::coff_machine_name(found).to_owned();
        fail(ObjectProblem::WrongMachine { found, wanted: machine.name.to_owned() })
    })?;
    let import = ImportFile::parse(data).map_err(malformed)?;
    let object = begin(graph, name, options);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (symbol, dll) = (import.symbol(), text(import.dll()));
    match import.import() {
        ImportName::Name(exported) => {
            graph.note(object, format!("'{}' is imported from {dll}", text(exported)));
            if exported != symbol {
                let to = graph.refer(exported, true, Scope::Default, object);
                let id = graph.refer(symbol, true, Scope::Default, object);
                graph.fall_back(id, to, false);
            }
        }
        ImportName::Ordinal(number) => {
            let kind = if import.import_type() == ImportType::Code { "function" } else { "variable" };
            graph.note(
                object,
                format!("'{}' is {kind} number {number} of {dll}, which has no name there", text(symbol)),
            );
        }
    }
    Ok(Relocations::none(machine, object, table))
}
