// Lua: this driver and an archive of its 32 library objects run a script.
//#Archive: liblua.a @lua-src/lua-5.4.7/*.c
//#Include: @lua-src/lua-5.4.7
//#CompileFlags: -DLUA_USE_LINUX
//#Flags: -O2
//#Pic: pic nopic
//#Libs: -lm -ldl
//#StdinFile: script.lua
//#Exit: 3
#include "lauxlib.h"
#include "lua.h"
#include "lualib.h"
#include <stdio.h>
static int twice(lua_State *state) {
    lua_pushinteger(state, 2 * luaL_checkinteger(state, 1));
    return 1;
}
int main(void) {
    lua_State *state = luaL_newstate();
    luaL_openlibs(state);
    lua_register(state, "twice", twice);
    if (luaL_loadfile(state, 0) || lua_pcall(state, 0, 1, 0)) {
        fprintf(stderr, "%s\n", lua_tostring(state, -1));
        return 1;
    }
    int code = (int)lua_tointeger(state, -1);
    lua_close(state);
    return code;
}
