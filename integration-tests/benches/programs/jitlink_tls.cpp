// For llvm-jitlink 19 only, which loses thread-local variables that one object defines and another one uses, libstdc++'s two for
// std::call_once among them: this program has one thread, so plain variables can stand for them.
extern "C" {
void *___orc_rt_elfnix_tls_get_addr(unsigned long *entry) { return reinterpret_cast<void *>(entry[1]); }

void *_ZSt15__once_callable;
void (*_ZSt11__once_call)();
void __once_proxy() { _ZSt11__once_call(); }
}
