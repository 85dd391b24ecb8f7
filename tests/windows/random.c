/*
 * random: bcryptprimitives.dll for a wine that has none: the one function that Rust's standard library takes from it.
 */
#include <windows.h>

/* advapi32's RtlGenRandom, by the name that it is exported under. */
BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG length);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE buffer, SIZE_T length)
{
    return SystemFunction036(buffer, (ULONG)length);
}
