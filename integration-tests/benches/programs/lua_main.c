/* Runs the Lua script that the first argument names. */
#include <stdio.h>
#include "lauxlib.h"
#include "lua.h"
#include "lualib.h"

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: lua_main SCRIPT\n", stderr);
        return 2;
    }
    lua_State *state = luaL_newstate();
    luaL_openlibs(state);
    int failed = luaL_dofile(state, argv[1]);
    if (failed)
        fprintf(stderr, "%s\n", lua_tostring(state, -1));
    lua_close(state);
    return failed;
}
