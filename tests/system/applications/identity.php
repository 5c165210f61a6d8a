<?php
// An old application in PHP: it believes the headers that it is given, by the names that PHP makes of them.

$told = array_filter($_SERVER, fn ($name) => str_starts_with($name, 'HTTP_'), ARRAY_FILTER_USE_KEY);
$body = file_get_contents('php://input');

header('Content-Type: application/json');
echo json_encode([
    'method' => $_SERVER['REQUEST_METHOD'],
    'url' => $_SERVER['REQUEST_URI'],
    'told' => $told,
    'form' => $_POST,
    'length' => strlen($body),
    'sha256' => hash('sha256', $body),
]);
