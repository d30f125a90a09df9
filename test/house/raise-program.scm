;; A program in Guile whose callbacks raise through the library (guile-3.0, no compiler): what it
;; catches around the wait, and that everything goes on behind it.
(use-modules (system foreign) (rnrs bytevectors))

(define library (dynamic-link (cadr (command-line))))
(define (c name result . arguments)
  (pointer->procedure result (dynamic-func name library) arguments))

(define create-ring (c "CreateFastRing" '* uint32))
(define release-ring (c "ReleaseFastRing" void '*))
(define wait-ring (c "WaitForFastRing" int '* uint32 '*))
(define set-timeout (c "SetFastRingTimeout" '* '* '* int64 uint64 '* '*))

(define calls 0)
(define (raise-timeout timeout closure)
  (set! calls (+ calls 1))
  (throw 'told calls))
(define (count-timeout timeout closure)
  (set! calls (+ calls 1)))
(define raising (procedure->pointer void raise-timeout (list '* '*)))
(define counting (procedure->pointer void count-timeout (list '* '*)))

(define ring (create-ring 0))
(define (turn)
  (catch 'told
    (lambda () (wait-ring ring #xffffffff %null-pointer))
    (lambda (key number) (list key number))))

(define (check condition text)
  (unless condition
    (format (current-error-port) "not so: ~a\n" text)
    (exit 1)))

(define (turn-until number)
  (let loop ((last #f))
    (check (or (not (number? last)) (>= last 0)) "the wait works")
    (if (< calls number) (loop (turn)) last)))

(set-timeout ring %null-pointer 0 0 raising %null-pointer)
(check (equal? (turn-until 1) '(told 1)) "it is caught")
(set-timeout ring %null-pointer 0 0 raising %null-pointer)
(set-timeout ring %null-pointer 0 0 counting %null-pointer)
(turn-until 3)
(check (= calls 3) "nothing is lost or told twice")
(set-timeout ring %null-pointer 0 0 counting %null-pointer)
(check (equal? (turn-until 4) 0) "a turn that nobody leaves")
(release-ring ring)
