//! Writing: contents are copied once, to where they will run, and fixed up while they are in the cache.

use crate::arch::{Expr, Machine};
use crate::error::{LinkError, Places};
use crate::fixup::{self, FixupError, Operands};
use crate::graph::{Block, BlockId, Definition, Edge, LinkGraph, Prot};
use crate::islands;
use crate::layout::{At, HEADER_SIZE, Layout};
use crate::linked::{IndirectFunction, LinkedSegment};
use crate::pass::tables::Tables;
use crate::pass::tls::Known;
use crate::workers::{self, Alone, Workers};

/// Everything that writing reads.
pub(crate) struct Target<'a, 'data> {
    pub(crate) graph: &'a LinkGraph<'data>,
    pub(crate) tables: &'a Tables,
    pub(crate) layout: &'a Layout,
    /// The address of each segment.
    pub(crate) bases: Vec<u64>,
    /// Where the stubs jump, by stub.
    pub(crate) destinations: &'a [u64],
    /// Where thread-local variables are.
    pub(crate) known: &'a Known,
}

impl Target<'_, '_> {
    /// The lowest address of the image.
    pub(crate) fn image_base(&self) -> u64 {
        self.bases.iter().copied().min().unwrap_or(0)
    }

    pub(crate) fn address(&self, at: At) -> u64 {
        self.bases.get(usize::from(at.segment)).map_or(0, |base| base + at.offset)
    }

    /// Functions whose address the executor has to ask for, with the slot that their stub jumps through.
    pub(crate) fn indirect_functions(&self) -> impl Iterator<Item = IndirectFunction> + '_ {
        let slots = self.address(self.layout.indirect_slots);
        self.tables.indirect.symbols.iter().enumerate().map(move |(index, id)| {
            let symbol = self.graph.symbol(*id);
            let block = symbol.block().map_or(0, |block| self.graph.block(block).address);
            let slot = slots + index as u64 * u64::from(self.graph.machine().pointer_size);
            IndirectFunction { resolver: block + symbol.value, slot }
        })
    }

    pub(crate) fn segments(&self) -> Vec<LinkedSegment> {
        let shapes = self.layout.segments.iter().zip(&self.bases);
        shapes.map(|(segment, base)| LinkedSegment { address: *base, size: segment.size, prot: segment.prot }).collect()
    }
}

/// Pieces of fewer bytes are not worth a thread: it takes as long to start as to write 64 KiB into fresh pages.
const MIN_PIECE: usize = 256 << 10;

/// Something to be done while a segment is written.
enum Task<'p, F> {
    Write(Piece<'p>),
    Beside(F),
}

/// Writes one segment, in as many pieces as it is worth. Gives what `beside` makes in the meantime.
pub(crate) fn segment<R: Send>(
    target: &Target<'_, '_>,
    segment: usize,
    bytes: &mut [u8],
    workers: &dyn Workers,
    beside: Option<impl FnOnce() -> R + Send>,
) -> Result<Option<R>, LinkError> {
    tables(target, segment, bytes)?;
    let pieces = cut(target, segment, bytes, workers.count());
    let addresses = Addresses::new(target);
    // Where the bytes are not worth a thread, the rest is not either.
    let workers: &dyn Workers = if pieces.len() < 2 { &Alone } else { workers };
    // What cannot be cut comes first.
    let tasks = beside.into_iter().map(Task::Beside).chain(pieces.into_iter().map(Task::Write));
    let done = workers::map(workers, tasks.collect(), |task| match task {
        Task::Beside(beside) => Ok(Some(beside())),
        Task::Write(piece) => piece.write(target, &addresses).map(|()| None),
    });
    // The first error in the order of blocks, whoever came upon it.
    done.into_iter().try_fold(None, |found, made| made.map(|made| found.or(made)))
}

/// Neighbouring blocks of a segment, with the bytes from the end of the block before.
struct Piece<'p> {
    blocks: &'p [(BlockId, At)],
    bytes: &'p mut [u8],
    /// Where `bytes` starts in the segment.
    start: usize,
    /// Some block with content stands before.
    continues: bool,
    code: bool,
}

/// Cuts a segment between blocks, where an equal number of bytes is on each side.
fn cut<'p>(target: &Target<'p, '_>, segment: usize, mut bytes: &'p mut [u8], workers: usize) -> Vec<Piece<'p>> {
    let code = target.layout.segments[segment].prot.contains(Prot::EXEC);
    let size = target.layout.segments[segment].content_size as usize;
    let all = &target.layout.blocks;
    let mut blocks = &all[all.partition_point(|(_, at)| usize::from(at.segment) < segment)..];
    blocks = &blocks[..blocks.partition_point(|(_, at)| usize::from(at.segment) == segment)];

    // A few for each, so that nobody waits long for the slowest.
    let count = if workers < 2 { 1 } else { (size / MIN_PIECE).clamp(1, workers * 4) };
    let mut pieces = Vec::with_capacity(count);
    let (mut start, mut continues) = (0, false);
    for number in 1..count {
        let end = blocks.partition_point(|(_, at)| at.offset < (size / count * number) as u64);
        let with_content = |(id, at): &(BlockId, At)| {
            target.graph.block(*id).content.bytes().map(|content| at.offset as usize + content.len())
        };
        // What lies between two pieces is filled by the second.
        let Some(end_of_last) = blocks[..end].iter().rev().find_map(with_content) else { continue };
        let (these, rest) = blocks.split_at(end);
        let (mine, others) = std::mem::take(&mut bytes).split_at_mut(end_of_last - start);
        pieces.push(Piece { blocks: these, bytes: mine, start, continues, code });
        (blocks, bytes, start, continues) = (rest, others, end_of_last, true);
    }
    pieces.push(Piece { blocks, bytes, start, continues, code });
    pieces
}

impl Piece<'_> {
    fn write(self, target: &Target<'_, '_>, addresses: &Addresses) -> Result<(), LinkError> {
        let Self { blocks, bytes, start, continues, code } = self;
        let mut end_of_last = continues.then_some(0);
        for (id, at) in blocks {
            let block = target.graph.block(*id);
            let Some(content) = block.content.bytes() else { continue };
            let offset = at.offset as usize - start;
            // What lies between functions is never run; if it is, it should trap.
            if code && let Some(end) = end_of_last {
                bytes[end..offset].fill(target.graph.machine().filler);
            }
            end_of_last = Some(offset + content.len());
            let out = &mut bytes[offset..offset + content.len()];
            out.copy_from_slice(content);
            apply(target, addresses, block, out)?;
        }
        Ok(())
    }
}

/// Addresses that every fixup may need, computed once.
struct Addresses {
    slots: u64,
    stubs: u64,
    image: u64,
}

impl Addresses {
    fn new(target: &Target<'_, '_>) -> Self {
        let (slots, stubs) = (target.address(target.layout.slots), target.address(target.layout.stubs));
        Self { slots, stubs, image: target.image_base() }
    }
}

fn apply(target: &Target<'_, '_>, addresses: &Addresses, block: &Block<'_>, out: &mut [u8]) -> Result<(), LinkError> {
    let graph = target.graph;
    let machine = graph.machine();
    let range = block.edge_range();
    let first = range.start;
    for (number, edge) in graph.edges[range].iter().enumerate() {
        let symbol = &graph.symbols[edge.target.index()];
        let place = block.address + u64::from(edge.offset);
        let mut operands = Operands {
            symbol: symbol.address,
            addend: edge.addend,
            place,
            slot: 0,
            got: addresses.slots,
            branch: symbol.address,
            size: symbol.size,
            image: addresses.image,
        };
        let expr = machine.fixup(edge.kind).expr;
        if expr.needs_slot()
            && let Some(slot) = target.tables.slots.of(edge.target)
        {
            operands.slot = addresses.slots + slot as u64 * u64::from(machine.pointer_size);
        }
        if expr.asks_more() {
            let index = (first + number) as u32;
            match expr.is_thread_local() {
                true => thread_local_operands(target, expr, index, edge, &mut operands),
                false => section_operands(target, expr, edge, &mut operands),
            }
        }
        let written = fixup::apply(machine, edge.kind, out, edge.offset as usize, &operands);
        if let Err(error) = written {
            retry(target, addresses, edge, &mut operands, out, error)?;
        }
    }
    Ok(())
}

/// An access that kept its model: it names a module, an offset, or slots that hold them.
#[cold]
fn thread_local_operands(target: &Target<'_, '_>, expr: Expr, index: u32, edge: &Edge, operands: &mut Operands) {
    let variable = target.known.variable(target.graph, edge.target);
    match expr {
        Expr::TlsModule => operands.symbol = variable.map_or(0, |variable| variable.module),
        // Code adds them to what it got for this link's part of the module, data is handed over with the module's number.
        Expr::TlsModuleOffset => {
            let code = target.graph.section_of(edge.block).prot.contains(Prot::EXEC);
            let base = target.known.own.filter(|_| code).map_or(0, |own| own.offset);
            let bias = target.graph.machine().tls.offset_bias;
            operands.symbol = variable.map_or(0, |variable| variable.offset.wrapping_sub(base).wrapping_sub(bias));
        }
        _ => {
            let word = u64::from(target.known.slot(index).unwrap_or(0));
            let slots = target.address(target.layout.thread_local_slots);
            operands.slot = slots + word * u64::from(target.graph.machine().pointer_size);
        }
    }
}

/// What is told of the run of sections that the symbol stands in; of one that stands in none, what counts from nothing.
#[cold]
fn section_operands(target: &Target<'_, '_>, expr: Expr, edge: &Edge, operands: &mut Operands) {
    let block = target.graph.symbol(edge.target).block();
    let run = block.and_then(|block| target.layout.runs.run_of(target.graph.block(block).section));
    operands.image = match run {
        Some((number, _)) if expr == Expr::SectionNumber => number.into(),
        Some((_, at)) => target.address(at),
        None => 0,
    };
}

/// What does not fit may go through a stub, or be a null that can be written in another way.
#[cold]
fn retry(
    target: &Target<'_, '_>,
    addresses: &Addresses,
    edge: &Edge,
    operands: &mut Operands,
    out: &mut [u8],
    error: FixupError,
) -> Result<(), LinkError> {
    let graph = target.graph;
    let machine = graph.machine();
    let offset = edge.offset as usize;
    let (symbol, place) = (operands.symbol, operands.place);
    let fail = |error: FixupError| Err(explain(graph, edge, symbol, place, &error));
    if !matches!(error, FixupError::OutOfRange { .. }) {
        return fail(error);
    }
    let expr = machine.fixup(edge.kind).expr;
    if matches!(expr, Expr::Branch | Expr::StubOffset)
        && let Some(stub) = target.tables.stubs.of(edge.target)
    {
        let branch = addresses.stubs + stub as u64 * target.layout.stub_size;
        let through_stub = Operands { branch, ..*operands };
        let written = fixup::apply(machine, edge.kind, out, offset, &through_stub);
        if written.is_ok() || target.layout.islands.is_empty() {
            return written.or_else(fail);
        }
    }
    if expr == Expr::Branch
        && let Some(veneer) = islands::find(&target.layout.islands, graph, operands.place, edge.target, edge.addend)
    {
        let through_veneer = Operands { branch: veneer, addend: 0, ..*operands };
        return fixup::apply(machine, edge.kind, out, offset, &through_veneer).or_else(fail);
    }
    let symbol = graph.symbol(edge.target);
    // An offset from the image base that leads nowhere is zero (PE/COFF: what has an address of zero is not there).
    if expr == Expr::ImageOffset && symbol.definition == Definition::Undefined && symbol.address == 0 {
        let nowhere = Operands { symbol: operands.image, addend: 0, ..*operands };
        return match fixup::apply(machine, edge.kind, out, offset, &nowhere) {
            Ok(()) => Ok(()),
            Err(error) => fail(error),
        };
    }
    // Only instructions can be written in another way: bytes before a field of data are nobody's opcode.
    let code = graph.section_of(edge.block).prot.contains(Prot::EXEC);
    let null = symbol.definition == Definition::Undefined && symbol.address == 0;
    if null
        && code
        && let Some(kind) = (machine.null)(edge.kind, out, edge.offset, edge.addend)
    {
        // The row may load from a slot that holds null: that of the stub which every such target has.
        if let Some(stub) = target.tables.stubs.of(edge.target) {
            operands.slot = target.address(target.layout.stub_slots) + stub as u64 * u64::from(machine.pointer_size);
        }
        return match fixup::apply(machine, kind, out, offset, operands) {
            Ok(()) => Ok(()),
            Err(error) => fail(error),
        };
    }
    fail(error)
}

#[cold]
fn explain(graph: &LinkGraph<'_>, edge: &Edge, target: u64, at: u64, error: &FixupError) -> LinkError {
    let place = Places::new(graph).boxed(edge.block, u64::from(edge.offset));
    let symbol = graph.symbol(edge.target);
    let name = if symbol.name.is_empty() {
        "a local symbol".into()
    } else {
        String::from_utf8_lossy(symbol.name).into_owned()
    };
    match *error {
        FixupError::OutOfRange { value, row } => {
            let outside = symbol.definition == Definition::Undefined;
            let help = outside.then(|| {
                "the code refers to it directly and it lies outside: compile with -fPIC, so that its address is loaded from a table".to_owned()
            });
            LinkError::OutOfRange { place, kind: row.name, symbol: name, target, at, value, help }
        }
        FixupError::Unsupported { model, .. } => {
            LinkError::ThreadLocal { place, symbol: name, model, why: "which was not lowered".to_owned() }
        }
        FixupError::OutOfBlock { row } | FixupError::Mismatch { row } | FixupError::Misaligned { row, .. } => {
            LinkError::Plugin(format!("{place}: {} cannot be written there: {error}", row.name).into())
        }
    }
}

/// Writes what of the tables stands in `segment`.
fn tables(target: &Target<'_, '_>, segment: usize, bytes: &mut [u8]) -> Result<(), LinkError> {
    let (graph, layout, tables) = (target.graph, target.layout, target.tables);
    let machine = graph.machine();
    let word = usize::from(machine.pointer_size);
    let here = |at: At| usize::from(at.segment) == segment;
    let mut words = |at: At, values: &mut dyn Iterator<Item = u64>| {
        if here(at) {
            for (i, value) in values.enumerate() {
                let start = at.offset as usize + i * word;
                bytes[start..start + word].copy_from_slice(&value.to_le_bytes()[..word]);
            }
        }
    };
    words(layout.slots, &mut tables.slots.symbols.iter().map(|id| graph.symbol(*id).address));
    if tables.thread_local_slots.words > 0 && here(layout.thread_local_slots) {
        let base = target.address(layout.thread_local_slots);
        words(layout.thread_local_slots, &mut target.known.values(graph, &tables.thread_local_slots, base).into_iter());
    }
    words(layout.stub_slots, &mut target.destinations.iter().copied());
    if let Some(at) = layout.header.filter(|at| here(*at)) {
        let start = at.offset as usize;
        bytes[start..start + HEADER_SIZE as usize].copy_from_slice(&header(machine));
        // crtstuff's `void *__dso_handle = &__dso_handle`: C++ passes its address to `__cxa_atexit`, the C library's `atexit` its value.
        let handle = target.address(at) + crate::linked::DSO_HANDLE_OFFSET;
        let start = start + crate::linked::DSO_HANDLE_OFFSET as usize;
        bytes[start..start + word].copy_from_slice(&handle.to_le_bytes()[..word]);
    }
    if here(layout.stubs) {
        let jumps = tables.stubs.symbols.len();
        for number in 0..jumps + tables.indirect.symbols.len() {
            let slot = match number.checked_sub(jumps) {
                None => target.address(layout.stub_slots) + (number * word) as u64,
                Some(indirect) => target.address(layout.indirect_slots) + (indirect * word) as u64,
            };
            stub(target, number, slot, bytes)?;
        }
    }
    Ok(())
}

fn stub(target: &Target<'_, '_>, number: usize, slot: u64, bytes: &mut [u8]) -> Result<(), LinkError> {
    let machine = target.graph.machine();
    let start = target.layout.stubs.offset as usize + number * target.layout.stub_size as usize;
    let address = target.bases[usize::from(target.layout.stubs.segment)] + start as u64;
    let code = machine.stub.code;
    let out = &mut bytes[start..start + target.layout.stub_size as usize];
    out.fill(machine.filler);
    out[..code.len()].copy_from_slice(code);
    for (offset, kind, addend) in machine.stub.slot_fixups {
        let operands =
            Operands { symbol: slot, addend: *addend, place: address + u64::from(*offset), ..Operands::default() };
        let written = fixup::apply(machine, *kind, out, *offset as usize, &operands);
        written.map_err(|error| LinkError::Plugin(format!("stub {number}: {error}").into()))?;
    }
    Ok(())
}

/// An ELF file header for what is no file: no program headers, no sections (gABI "ELF Header").
fn header(machine: &Machine) -> [u8; HEADER_SIZE as usize] {
    const ET_DYN: u16 = 3;
    let mut header = [0; HEADER_SIZE as usize];
    header[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', if machine.pointer_size == 8 { 2 } else { 1 }, 1, 1]);
    header[16..18].copy_from_slice(&ET_DYN.to_le_bytes());
    header[18..20].copy_from_slice(&crate::reloc::elf_machine(machine).to_le_bytes());
    header[20] = 1;
    // Where the header's own size stands; one of 32 bits has 52 bytes.
    let (at, size) = if machine.pointer_size == 8 { (52, HEADER_SIZE as u16) } else { (40, 52) };
    header[at..at + 2].copy_from_slice(&size.to_le_bytes());
    header
}
