//! `-add-self-relocations`: what a function's instructions say about the function's own address becomes an edge.
//!
//! An assembler resolves `lea f(%rip), %rax` inside of f itself. Who moves code, or wants to know who takes the address of a function, needs the edge.

use iced_x86::{Decoder, DecoderOptions};
use jitlink::graph::{BlockId, Edge, EdgeKind, LinkGraph, Prot, SymbolId, SymbolKind};
use jitlink::pass::{Plugin, PluginResult};

/// Adds the edges, before anything is dropped.
#[derive(Debug)]
pub(super) struct SelfReferences;

impl Plugin for SelfReferences {
    fn built(&mut self, graph: &mut LinkGraph<'_>) -> PluginResult {
        // Other machines compute addresses in several instructions, or relative to the table of slots; LLVM's pass finds nothing there either.
        if graph.machine().name != "x86_64" {
            return Ok(());
        }
        // Functions of each block, so that each instruction is looked at once.
        let mut functions: Vec<(BlockId, u64, SymbolId)> = Vec::new();
        for (index, symbol) in graph.symbols().iter().enumerate() {
            let Some(block) = symbol.block() else { continue };
            let code = graph.section_of(block).prot.contains(Prot::EXEC);
            if code && !symbol.name.is_empty() && matches!(symbol.kind, SymbolKind::Function | SymbolKind::Unknown) {
                functions.push((block, symbol.value, SymbolId::from_index(index)));
            }
        }
        functions.sort_unstable();
        let mut edges: Vec<Edge> = Vec::new();
        for (number, (block, start, symbol)) in functions.iter().enumerate() {
            let next = functions.get(number + 1).filter(|(other, ..)| other == block);
            let end = next.map_or(graph.block(*block).size, |(_, start, _)| *start);
            edges.extend(references(graph, *block, *start..end, *symbol));
        }
        graph.insert_edges(edges);
        Ok(())
    }
}

/// The operands in a function that are its own address and have no edge yet.
fn references(graph: &LinkGraph<'_>, block: BlockId, function: std::ops::Range<u64>, symbol: SymbolId) -> Vec<Edge> {
    let content = graph.block(block).content.bytes().unwrap_or_default();
    let range = function.start as usize..function.end as usize;
    let Some(bytes) = content.get(range) else { return Vec::new() };
    let mut known: Vec<u32> = graph.edges_of(block).iter().map(|edge| edge.offset).collect();
    known.sort_unstable();
    let mut decoder = Decoder::with_ip(64, bytes, function.start, DecoderOptions::NONE);
    let mut found = Vec::new();
    while decoder.can_decode() {
        let instruction = decoder.decode();
        let offsets = decoder.get_constant_offsets(&instruction);
        if !instruction.is_ip_rel_memory_operand() || instruction.ip_rel_memory_address() != function.start {
            continue;
        }
        let field = instruction.ip() + offsets.displacement_offset() as u64;
        let Ok(offset) = u32::try_from(field) else { break };
        if known.binary_search(&offset).is_err() {
            // The distance is counted from the end of the instruction.
            let addend = field as i64 - instruction.next_ip() as i64;
            found.push(Edge { addend, block, offset, target: symbol, kind: EdgeKind::DELTA32 });
        }
    }
    found
}
