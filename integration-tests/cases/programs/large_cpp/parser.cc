#include "parser.h"
#include "errors.h"
#include <cctype>
#include <functional>
#include <map>
namespace {
struct Parser {
    const std::string &text;
    std::size_t at = 0;
    static const std::map<char, std::pair<int, std::function<long(long, long)>>> operators;
    char peek() {
        while (at < text.size() && std::isspace(static_cast<unsigned char>(text[at]))) at++;
        return at < text.size() ? text[at] : '\0';
    }
    long primary() {
        char c = peek();
        if (c == '(') {
            at++;
            long value = expression(0);
            if (peek() != ')') throw SyntaxError("expected )", static_cast<int>(at));
            at++;
            return value;
        }
        if (!std::isdigit(static_cast<unsigned char>(c))) throw SyntaxError("expected a number", static_cast<int>(at));
        std::size_t used;
        long value = std::stol(text.substr(at), &used);
        at += used;
        return value;
    }
    long expression(int least) {
        long left = primary();
        for (;;) {
            auto found = operators.find(peek());
            if (found == operators.end() || found->second.first < least) return left;
            at++;
            left = found->second.second(left, expression(found->second.first + 1));
        }
    }
};
long nonzero(long value) {
    if (value == 0) throw std::domain_error("division by zero");
    return value;
}
const std::map<char, std::pair<int, std::function<long(long, long)>>> Parser::operators = {
    {'+', {1, [](long a, long b) { return a + b; }}},
    {'-', {1, std::minus<long>()}},
    {'*', {2, std::multiplies<long>()}},
    {'/', {2, [](long a, long b) { return a / nonzero(b); }}},
    {'%', {2, [](long a, long b) { return a % nonzero(b); }}},
    {'^', {3, [](long a, long b) { long r = 1; while (b-- > 0) r *= a; return r; }}},
};
}
long evaluate(const std::string &text) {
    Parser parser{text};
    long value = parser.expression(0);
    if (parser.peek()) throw SyntaxError("unexpected " + std::string(1, parser.peek()), static_cast<int>(parser.at));
    return value;
}
