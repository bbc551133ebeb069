__thread int of_library = 40;
__thread char library_buffer[20] = "library";
int *library_sees(void) { return &of_library; }
