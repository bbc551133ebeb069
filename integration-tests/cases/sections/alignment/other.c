_Alignas(32768) char other = 1; char odd = 3;
