// Parses LLVM IR, optimizes it at O2, generates x86-64 code for it in memory, and prints what came out: a compiler as a workload.
#include "llvm/Analysis/CGSCCPassManager.h"
#include "llvm/Analysis/LoopAnalysisManager.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/IRReader/IRReader.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Target/TargetOptions.h"
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>

static const char *const IR = R"(
target triple = "x86_64-pc-linux-gnu"

@table = global [64 x i32] zeroinitializer

define i32 @gcd(i32 %a, i32 %b) {
entry:
  %zero = icmp eq i32 %b, 0
  br i1 %zero, label %done, label %more
more:
  %rest = urem i32 %a, %b
  %deep = call i32 @gcd(i32 %b, i32 %rest)
  ret i32 %deep
done:
  ret i32 %a
}

define void @fill(i32 %seed) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %x = trunc i64 %i to i32
  %y = mul i32 %x, %seed
  %z = call i32 @gcd(i32 %y, i32 360)
  %cell = getelementptr [64 x i32], ptr @table, i64 0, i64 %i
  store i32 %z, ptr %cell
  %next = add i64 %i, 1
  %end = icmp eq i64 %next, 64
  br i1 %end, label %out, label %loop
out:
  ret void
}

define i32 @sum(ptr %p, i64 %n) {
entry:
  %empty = icmp eq i64 %n, 0
  br i1 %empty, label %out, label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %s = phi i32 [ 0, %entry ], [ %t, %loop ]
  %cell = getelementptr i32, ptr %p, i64 %i
  %v = load i32, ptr %cell
  %t = add i32 %s, %v
  %next = add i64 %i, 1
  %end = icmp eq i64 %next, %n
  br i1 %end, label %out, label %loop
out:
  %r = phi i32 [ 0, %entry ], [ %t, %loop ]
  ret i32 %r
}

define double @poly(double %x, ptr %c, i32 %n) {
entry:
  br label %loop
loop:
  %i = phi i32 [ %n, %entry ], [ %next, %loop ]
  %acc = phi double [ 0.0, %entry ], [ %sum, %loop ]
  %cell = getelementptr double, ptr %c, i32 %i
  %k = load double, ptr %cell
  %scaled = fmul double %acc, %x
  %sum = fadd double %scaled, %k
  %next = sub i32 %i, 1
  %end = icmp slt i32 %next, 0
  br i1 %end, label %out, label %loop
out:
  ret double %sum
}
)";

int main() {
  LLVMInitializeX86TargetInfo();
  LLVMInitializeX86Target();
  LLVMInitializeX86TargetMC();
  LLVMInitializeX86AsmPrinter();
  LLVMInitializeX86AsmParser();

  llvm::LLVMContext context;
  llvm::SMDiagnostic diagnostic;
  std::unique_ptr<llvm::Module> module =
      llvm::parseIR(llvm::MemoryBufferRef(IR, "workload"), diagnostic, context);
  if (!module) {
    diagnostic.print("llvm_tool", llvm::errs());
    return 1;
  }

  std::string error;
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(module->getTargetTriple(), error);
  if (!target) {
    std::fprintf(stderr, "%s\n", error.c_str());
    return 1;
  }
  std::unique_ptr<llvm::TargetMachine> machine(target->createTargetMachine(
      module->getTargetTriple(), "x86-64-v2", "", llvm::TargetOptions(),
      llvm::Reloc::PIC_));
  module->setDataLayout(machine->createDataLayout());

  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager graph;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder passes(machine.get());
  passes.registerModuleAnalyses(modules);
  passes.registerCGSCCAnalyses(graph);
  passes.registerFunctionAnalyses(functions);
  passes.registerLoopAnalyses(loops);
  passes.crossRegisterProxies(loops, functions, graph, modules);
  passes.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O2)
      .run(*module, modules);

  llvm::SmallString<0> object;
  llvm::raw_svector_ostream stream(object);
  llvm::legacy::PassManager codegen;
  if (machine->addPassesToEmitFile(codegen, stream, nullptr,
                                   llvm::CodeGenFileType::ObjectFile))
    return 1;
  codegen.run(*module);

  std::uint64_t hash = 1469598103934665603u;
  for (unsigned char byte : object)
    hash = (hash ^ byte) * 1099511628211u;
  std::printf("%zu bytes of object code, hash %016llx\n", object.size(),
              static_cast<unsigned long long>(hash));
  return 0;
}
