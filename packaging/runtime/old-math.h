/* The C library gave these new versions in 2.29; the old ones are still in every later one.
   With these Python asks only for what older desktops have. */
#if defined(__x86_64__)
#define OLD "GLIBC_2.2.5"
#elif defined(__aarch64__)
#define OLD "GLIBC_2.17"
#endif
#ifdef OLD
__asm__(".symver exp,exp@" OLD);
__asm__(".symver log,log@" OLD);
__asm__(".symver pow,pow@" OLD);
__asm__(".symver exp2,exp2@" OLD);
__asm__(".symver log2,log2@" OLD);
#endif
