#pragma once
#include <string>
// Arithmetic with + - * / % ^ and parentheses. Throws SyntaxError, std::domain_error.
long evaluate(const std::string &text);
