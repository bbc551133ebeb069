__thread int counter;
