int divide(int);
int store(int);
int send_one(int);
int middle(int kind);
int length_of_fault(int signal);
