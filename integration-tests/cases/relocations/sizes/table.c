__attribute__((visibility("hidden"))) int table[123] = {1};
