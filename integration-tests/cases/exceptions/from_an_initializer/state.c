int attempts;
void *poisoned;
